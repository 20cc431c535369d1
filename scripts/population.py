"""Compose a shard of images from single cells and background."""

from cellcascade.core.jobs import run_job
from cellcascade.population.compose import make_images

if "snakemake" in globals():
    run_job(make_images, snakemake)  # noqa: F821
