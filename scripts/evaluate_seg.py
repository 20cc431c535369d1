"""Join the SEG scores of a data set's networks, and compare the regimes."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.scoring import join_scores

if "snakemake" in globals():
    run_job(join_scores, snakemake)  # noqa: F821
