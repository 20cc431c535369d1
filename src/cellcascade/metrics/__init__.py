"""How alike real and synthetic cells and images are."""
