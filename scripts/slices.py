"""Cut the volumes of a shard of cells into slices at the data set's z spacing."""

from cellcascade.core.jobs import run_job
from cellcascade.geometry.slicing import make_slices


def main(inputs, outputs, *, voxel_size_um, settings):
    make_slices(
        inputs.volumes,
        inputs.masks,
        voxel_size_um=voxel_size_um,
        settings=settings,
        store=outputs.store,
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
