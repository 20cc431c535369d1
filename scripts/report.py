"""Write the page of a data set."""

from cellcascade.core.jobs import run_job
from cellcascade.report.dataset import write_report

if "snakemake" in globals():
    run_job(write_report, snakemake)  # noqa: F821
