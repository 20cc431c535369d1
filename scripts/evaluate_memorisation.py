"""Look for synthetic cells that copy a training cell."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.memorisation import compare_memorisation

if "snakemake" in globals():
    run_job(compare_memorisation, snakemake)  # noqa: F821
