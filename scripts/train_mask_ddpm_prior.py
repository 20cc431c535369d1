"""Train the prior of masks on the crops of several data sets."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.mask_prior import train_mask_ddpm_prior

if "snakemake" in globals():
    run_job(train_mask_ddpm_prior, snakemake)  # noqa: F821
