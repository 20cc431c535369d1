"""Train Cellpose on real images, synthetic ones, or both."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.cellpose.train import train_cellpose

if "snakemake" in globals():
    run_job(train_cellpose, snakemake)  # noqa: F821
