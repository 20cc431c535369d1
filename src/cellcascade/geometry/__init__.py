"""Masks, cameras, shapes and volumes."""
