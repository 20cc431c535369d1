"""Compare the shapes of synthetic masks with those of real ones."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.shape import compare_shapes

if "snakemake" in globals():
    run_job(compare_shapes, snakemake)  # noqa: F821
