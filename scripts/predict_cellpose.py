"""Segment the test frames with one Cellpose, and score the result."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.scoring import predict


def main(inputs, outputs, *, folder, sequence, voxel_size_um, most, settings, names, device):
    predict(
        inputs.weights,
        inputs.record,
        folder=folder,
        sequence=sequence,
        voxel_size_um=voxel_size_um,
        most=most,
        settings=settings,
        names=names,
        store=outputs.store,
        table=outputs.table,
        device=device,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
