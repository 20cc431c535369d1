"""Compare the textures of synthetic cells with those of real ones."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.texture import compare


def main(inputs, outputs):
    compare(inputs.crops, list(inputs.textures), table=outputs.table)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
