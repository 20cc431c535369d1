"""Fetch a pretrained Stable Diffusion model: the parts that the texture model starts from."""

from pathlib import Path

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.pretrained import fetch_base


def main(inputs, outputs, *, hub_id):
    fetch_base(hub_id, Path(outputs.checksums).parent)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
