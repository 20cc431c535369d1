"""Cell populations: single cells on a background, with instance labels (paper, section 2)."""
