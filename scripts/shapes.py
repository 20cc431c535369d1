"""Make a shard of random spherical-harmonic cells with their surface images."""

from cellcascade.core.jobs import run_job
from cellcascade.geometry.shapes import make_shapes

if "snakemake" in globals():
    run_job(make_shapes, snakemake)  # noqa: F821
