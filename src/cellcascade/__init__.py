"""cellcascade: annotated synthetic 2D and 3D microscopy images from a few annotated frames."""

__version__ = "0.1.0"
