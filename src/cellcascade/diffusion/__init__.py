"""The diffusion models of the cascade and the process they share."""
