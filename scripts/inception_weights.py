"""Fetch the published Inception weights of the FID."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.inception import download_weights


def main(inputs, outputs):
    download_weights(outputs.weights)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
