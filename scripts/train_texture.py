"""Train or fine-tune the texture model on a data set's crops."""

from pathlib import Path

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.stage import train


def main(inputs, outputs, *, settings, checkpoints, seed, device):
    train(
        inputs.crops,
        settings=settings,
        folder=str(Path(outputs.unet).parent),
        checkpoints=checkpoints,
        seed=seed,
        device=device,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
