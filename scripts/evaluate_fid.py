"""Compare synthetic cells with real ones by FID and KID, in the features that are at hand."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.features import compare_features

if "snakemake" in globals():
    run_job(compare_features, snakemake)  # noqa: F821
