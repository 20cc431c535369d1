"""Train the mask model on the masks of a data set's crops."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.mask_ddpm import train_mask_ddpm

if "snakemake" in globals():
    run_job(train_mask_ddpm, snakemake)  # noqa: F821
