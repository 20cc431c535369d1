"""Predict consistent views of a shard of cells from their masks."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.multiview import sample


def main(inputs, outputs, *, weights, dataset, settings, seed, device, max_invalid_fraction):
    sample(
        weights,
        inputs.masks,
        settings=settings,
        store=outputs.store,
        seed=seed,
        device=device,
        dataset=dataset,
        max_invalid_fraction=max_invalid_fraction,
    )


if "snakemake" in globals():
    shared = {key: snakemake.config[key] for key in ("device", "max_invalid_fraction")}  # noqa: F821
    run_job(main, snakemake, **shared)  # noqa: F821
