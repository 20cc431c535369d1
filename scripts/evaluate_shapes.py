"""Compare the shapes of synthetic masks with those of real ones."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.shape import compare


def main(inputs, outputs):
    compare(inputs.crops, list(inputs.masks), table=outputs.table)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
