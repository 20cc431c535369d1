"""Train Cellpose on real images, synthetic ones, or both."""

from cellcascade.core.jobs import run_job
from cellcascade.evaluation.cellpose.train import train


def main(inputs, outputs, *, regime, real, settings, checkpoints, seed, device):
    train(
        regime=regime,
        real=real,
        synthetic=inputs.get("synthetic") or None,
        start=inputs.get("start") or None,
        settings=settings,
        weights=outputs.weights,
        record=outputs.record,
        table=outputs.table,
        checkpoints=checkpoints,
        seed=seed,
        device=device,
    )


if "snakemake" in globals():
    run_job(main, snakemake, device=snakemake.config["device"])  # noqa: F821
