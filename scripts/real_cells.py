"""Real cells in the form of synthetic ones, to be pasted into images."""

from cellcascade.core.jobs import run_job
from cellcascade.population.real_cells import make_real_cells

if "snakemake" in globals():
    run_job(make_real_cells, snakemake)  # noqa: F821
