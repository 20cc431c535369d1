"""Compare synthetic images with the annotated frames of a data set's training sequence."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.images import compare


def main(inputs, outputs, *, folder, sequence, annotations, annotated):
    compare(folder, sequence, annotations, annotated=annotated, synthetic=inputs.synthetic, table=outputs.table)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
