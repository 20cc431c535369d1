"""Join the SEG scores of a data set's networks, and compare the regimes."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.scoring import collect


def main(inputs, outputs, *, dataset):
    collect(list(inputs.scores), dataset=dataset, seg=outputs.seg, gain=outputs.gain)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
