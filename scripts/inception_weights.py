"""Fetch the published Inception weights of the FID."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.inception import fetch_inception

if "snakemake" in globals():
    run_job(fetch_inception, snakemake)  # noqa: F821
