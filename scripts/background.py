"""Learn the background of a data set's real frames."""

from cellcascade.core.jobs import run_job
from cellcascade.population.background import fit_background

if "snakemake" in globals():
    run_job(fit_background, snakemake)  # noqa: F821
