"""Gather the images of all shards into the synthetic data set, with its tables and its record."""

from cellcascade.core.jobs import run_job
from cellcascade.population.collect import collect


def main(inputs, outputs, *, record):
    collect(list(inputs.population), folder=outputs.folder, record=record, inputs=list(inputs.sources))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
