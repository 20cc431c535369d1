"""Compare synthetic images with the annotated frames of a data set's training sequence."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.images import compare_images

if "snakemake" in globals():
    run_job(compare_images, snakemake)  # noqa: F821
