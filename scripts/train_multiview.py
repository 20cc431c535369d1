"""Train the multiview model on spherical-harmonic shapes."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.multiview import train_multiview

if "snakemake" in globals():
    run_job(train_multiview, snakemake)  # noqa: F821
