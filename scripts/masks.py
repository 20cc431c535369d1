"""Sample the masks of a shard of cells."""

from pathlib import Path

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.mask_ddpm import sample


def main(inputs, outputs, *, cells, dataset, settings, seed, device, max_invalid_fraction):
    sample(
        str(Path(inputs.weights).parent),
        settings=settings,
        crops=inputs.crops,
        cells=cells,
        store=outputs.store,
        seed=seed,
        device=device,
        dataset=dataset,
        max_invalid_fraction=max_invalid_fraction,
    )


if "snakemake" in globals():
    shared = {key: snakemake.config[key] for key in ("device", "max_invalid_fraction")}  # noqa: F821
    run_job(main, snakemake, **shared)  # noqa: F821
