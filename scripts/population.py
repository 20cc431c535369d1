"""Compose a shard of images from single cells and background."""

from cellcascade.core.jobs import run_job
from cellcascade.population.compose import make_images


def main(inputs, outputs, *, images, dataset, settings, export, seed):
    make_images(
        list(inputs.textures),
        inputs.background,
        inputs.crops,
        settings=settings,
        export=export,
        images=images,
        folder=outputs.folder,
        seed=seed,
        dataset=dataset,
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
