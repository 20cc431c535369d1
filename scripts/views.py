"""Predict consistent views of a shard of cells from their masks."""

from cellcascade.diffusion.multiview import sample
from cellcascade.jobs import run_job


def main(inputs, outputs, *, weights, dataset, settings, seed, device):
    sample(
        weights,
        inputs.masks,
        settings=settings,
        store=outputs.store,
        seed=seed,
        device=device,
        dataset=dataset,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
