"""Look at a data set's pixels before anything is trained on them."""

from cellcascade.checks.data import check_data
from cellcascade.core.jobs import run_job

if "snakemake" in globals():
    run_job(check_data, snakemake)  # noqa: F821
