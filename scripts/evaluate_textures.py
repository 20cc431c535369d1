"""Compare the textures of synthetic cells with those of real ones."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.texture import compare_textures

if "snakemake" in globals():
    run_job(compare_textures, snakemake)  # noqa: F821
