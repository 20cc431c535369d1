"""Gather the images of all shards into the synthetic data set, with its tables and its record."""

from cellcascade.core.jobs import run_job
from cellcascade.population.collect import collect_images

if "snakemake" in globals():
    run_job(collect_images, snakemake)  # noqa: F821
