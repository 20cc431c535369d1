"""Make a shard of random spherical-harmonic cells with their surface images."""

from cellcascade.core.jobs import run_job
from cellcascade.geometry.shapes import make_shapes


def main(inputs, outputs, *, shapes, views, cameras, surface, settings, seed):
    make_shapes(
        settings=settings,
        views=views,
        cameras=cameras,
        surface=surface,
        shapes=shapes,
        store=outputs.store,
        seed=seed,
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
