"""Train the multiview model on spherical-harmonic cells."""

from pathlib import Path

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.multiview import train


def main(inputs, outputs, *, settings, checkpoints, seed, device):
    train(
        list(inputs.shapes),
        settings=settings,
        folder=str(Path(outputs.weights).parent),
        checkpoints=checkpoints,
        seed=seed,
        device=device,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
