"""Train the mask model on a data set's crops."""

from pathlib import Path

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.mask_ddpm import train


def main(inputs, outputs, *, settings, checkpoints, seed, device):
    train(
        inputs.crops,
        settings=settings,
        folder=str(Path(outputs.weights).parent),
        checkpoints=checkpoints,
        seed=seed,
        device=device,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
