"""Cellpose with and without the synthetic images (paper, section 3, evaluation)."""
