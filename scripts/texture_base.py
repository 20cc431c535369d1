"""Fetch a pretrained Stable Diffusion model: the parts that the texture model starts from."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.pretrained import fetch_base

if "snakemake" in globals():
    run_job(fetch_base, snakemake)  # noqa: F821
