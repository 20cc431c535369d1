"""Does it help? Segmentation networks trained with and without the synthetic images (paper, section 3)."""
