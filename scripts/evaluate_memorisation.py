"""Look for synthetic cells that copy a training cell."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.memorisation import compare


def main(inputs, outputs):
    compare(inputs.crops, inputs.test_crops, list(inputs.masks), list(inputs.textures), table=outputs.table)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
