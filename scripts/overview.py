"""Write the page across data sets."""

from cellcascade.core.jobs import run_job
from cellcascade.report.overview import write_overview

if "snakemake" in globals():
    run_job(write_overview, snakemake)  # noqa: F821
