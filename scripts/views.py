"""Predict consistent views of a shard of cells from their masks."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.multiview import make_views

if "snakemake" in globals():
    run_job(make_views, snakemake)  # noqa: F821
