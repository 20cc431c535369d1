"""The diffusion models of the cascade (paper, section 2)."""
