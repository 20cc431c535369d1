"""Cut single cells from the annotated frames of a data set's training sequence."""

from cellcascade.core.jobs import run_job
from cellcascade.data.crops import make_crops


def main(inputs, outputs, *, folder, sequence, annotations, dataset, voxel_size_um, annotated, settings):
    make_crops(
        folder,
        sequence,
        annotations,
        dataset=dataset,
        voxel_size_um=voxel_size_um,
        annotated=annotated,
        settings=settings,
        store=outputs.store,
        table=outputs.table,
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
