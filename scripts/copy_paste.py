"""Compose images of real cells and background: the baseline without models."""

from cellcascade.core.jobs import run_job
from cellcascade.population.compose import make_images

if "snakemake" in globals():
    run_job(make_images, snakemake)  # noqa: F821
