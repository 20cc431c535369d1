"""Sample the textures of a shard of cells."""

from pathlib import Path

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.stage import sample


def main(inputs, outputs, *, dataset, settings, seed, device):
    sample(
        str(Path(inputs.unet).parent),
        inputs.cells,
        crops=inputs.crops,
        settings=settings,
        store=outputs.store,
        seed=seed,
        device=device,
        dataset=dataset,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
