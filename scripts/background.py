"""Learn the background of a data set's real frames."""

from cellcascade.core.jobs import run_job
from cellcascade.population.background import fit_background


def main(inputs, outputs, *, folder, sequence, annotations, voxel_size_um, annotated, settings):
    fit_background(
        folder,
        sequence,
        annotations,
        voxel_size_um=voxel_size_um,
        annotated=annotated,
        settings=settings,
        store=outputs.store,
        crops=inputs.crops,
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
