"""Cut the volumes of a shard of cells into slices at the data set's distance of slices."""

from cellcascade.core.jobs import run_job
from cellcascade.geometry.slicing import make_slices

if "snakemake" in globals():
    run_job(make_slices, snakemake)  # noqa: F821
