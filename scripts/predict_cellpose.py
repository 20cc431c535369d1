"""Segment the test frames with one Cellpose, and score the result."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.scoring import predict_cellpose

if "snakemake" in globals():
    run_job(predict_cellpose, snakemake)  # noqa: F821
