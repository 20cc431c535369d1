"""Reconstruct the volumes of a shard of cells from their views."""

from cellcascade.core.jobs import run_job
from cellcascade.reconstruction.stage import make_volumes

if "snakemake" in globals():
    run_job(make_volumes, snakemake)  # noqa: F821
