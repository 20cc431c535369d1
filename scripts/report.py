"""Write the report of a data set."""

from cellcascade.core.jobs import run_job
from cellcascade.report.dataset import write_report


def main(inputs, outputs, *, dataset, config, evaluation, truth, benchmarks):
    write_report(
        dataset=dataset,
        config=config,
        crops=inputs.crops,
        crops_table=inputs.crops_table,
        masks=list(inputs.masks),
        views=list(inputs.views),
        volumes=list(inputs.volumes),
        slices=list(inputs.slices),
        textures=list(inputs.textures),
        synthetic=inputs.synthetic,
        shape_table=evaluation["shape"],
        training={"mask_ddpm": inputs.mask_training, "texture": inputs.texture_training},
        benchmarks=benchmarks,
        html=outputs.html,
        real_frame=inputs.real_frame,
        evaluation=evaluation,
        predictions=list(inputs.predictions),
        truth=tuple(truth) if inputs.predictions else None,
        rho_table=inputs.rho,
        rho=config["config"]["texture"]["rho"],
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
