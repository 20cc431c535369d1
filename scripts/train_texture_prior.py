"""Train the prior of textures on the crops of several data sets."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.prior import train_texture_prior

if "snakemake" in globals():
    run_job(train_texture_prior, snakemake)  # noqa: F821
