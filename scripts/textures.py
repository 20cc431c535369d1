"""Sample the textures of a shard of cells."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.texture.stage import make_textures

if "snakemake" in globals():
    run_job(make_textures, snakemake)  # noqa: F821
