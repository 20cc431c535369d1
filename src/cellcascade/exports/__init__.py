"""Synthetic images in the layouts of other programs, one module per format."""
