"""Join the SEG scores of a data set's networks, and compare the regimes."""

from cellcascade.jobs import run_job
from cellcascade.segmentation.scoring import collect


def main(inputs, outputs, *, dataset):
    collect(list(inputs.scores), dataset=dataset, seg=outputs.seg, gain=outputs.gain)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
