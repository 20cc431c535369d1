"""Fetch and unpack the data sets that are not there yet."""

from cellcascade.core.jobs import run_job
from cellcascade.data.download import download_data

if "snakemake" in globals():
    run_job(download_data, snakemake)  # noqa: F821
