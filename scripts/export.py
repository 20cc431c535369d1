"""Write the synthetic images in the layout of another program."""

from cellcascade.core.jobs import run_job
from cellcascade.exports.stage import export_images

if "snakemake" in globals():
    run_job(export_images, snakemake)  # noqa: F821
