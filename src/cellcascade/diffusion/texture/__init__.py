"""Mask-conditioned textures (paper, section 2, cell texture generation)."""
