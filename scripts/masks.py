"""Sample the masks of a shard of cells."""

from cellcascade.core.jobs import run_job
from cellcascade.diffusion.mask_ddpm import make_masks

if "snakemake" in globals():
    run_job(make_masks, snakemake)  # noqa: F821
