"""Find out which annotated cells a Cellpose misses that learned from the others."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.hardness import judge_cells

if "snakemake" in globals():
    run_job(judge_cells, snakemake)  # noqa: F821
