"""Reconstruct the volumes of a shard of cells from their views."""

from cellcascade.core.jobs import run_job
from cellcascade.reconstruction.stage import reconstruct


def main(inputs, outputs, *, dataset, settings, shapes, seed, device, max_invalid_fraction):
    reconstruct(
        inputs.views or None,
        inputs.masks,
        settings=settings,
        shapes=shapes,
        store=outputs.store,
        seed=seed,
        device=device,
        dataset=dataset,
        max_invalid_fraction=max_invalid_fraction,
    )


if "snakemake" in globals():
    shared = {key: snakemake.config[key] for key in ("device", "max_invalid_fraction")}  # noqa: F821
    run_job(main, snakemake, **shared)  # noqa: F821
