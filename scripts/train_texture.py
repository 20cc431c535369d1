"""Train or fine-tune the texture model on a data set's crops."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.stage import train_texture

if "snakemake" in globals():
    run_job(train_texture, snakemake)  # noqa: F821
