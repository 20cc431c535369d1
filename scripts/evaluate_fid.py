"""Compare synthetic cells with real ones by FID and KID, in the features that are at hand."""

from cellcascade.core.jobs import run_job
from cellcascade.metrics.fid import evaluate
from cellcascade.metrics.inception import inception_vectors


def main(inputs, outputs, *, dataset, seed, device):
    features = {}
    if inputs.get("inception"):
        features["Inception (2048-d)"] = inception_vectors(inputs.inception, device=device)
    if inputs.get("cellpose"):
        from cellcascade.evaluation.cellpose.v3 import style_vectors

        name = "Cellpose style (256-d), trained on the real images"
        features[name] = style_vectors(inputs.cellpose, device=device)
    evaluate(inputs.crops, list(inputs.textures), dataset=dataset, features=features, seed=seed, table=outputs.table)


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
