"""Cut single cells from the annotated frames of a data set's training sequence."""

from cellcascade.core.jobs import run_job
from cellcascade.data.crops import make_crops

if "snakemake" in globals():
    run_job(make_crops, snakemake)  # noqa: F821
