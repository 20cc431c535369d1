"""Fetch the weights of a Cellpose generalist by the library's own download."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.cellpose.weights import fetch_generalist

if "snakemake" in globals():
    run_job(fetch_generalist, snakemake)  # noqa: F821
