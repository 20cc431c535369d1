"""Devices, batches and the training loop that all networks share."""
