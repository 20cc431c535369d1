"""Measures of how well the synthetic data agree with the real ones."""
