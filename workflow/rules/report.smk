rule report:
    input:
        crops=source("crops.zarr.zip"),
        crops_table=source("crops.csv"),
        checked=findings,
        masks=cell_shards("masks"),
        views=cell_shards("views"),
        volumes=cell_shards("volumes"),
        slices=cell_shards("slices"),
        textures=cell_shards("textures"),
        rho_table=source("models/texture/rho.csv"),
        shapes="results/{dataset}/evaluation/shape_cells.csv",
        intensities="results/{dataset}/evaluation/texture_cells.csv",
        synthetic="results/{dataset}/synthetic",
        real_frame=lambda wildcards: annotated_files(wildcards)[0],
        tables=lambda wildcards: list(tables(wildcards.dataset).values()),
        predictions=of_networks("predictions.zarr.zip", seeds=[0]),
        test_frames=lambda wildcards: test_files(wildcards) if networks_of(wildcards.dataset) else [],
        mask_training=source("models/mask_ddpm/training.csv"),
        texture_training=source("models/texture/training.csv"),
    output:
        html=report(
            "results/{dataset}/report/index.html",
            caption="../report/page.rst",
            category="Data sets",
            labels={"page": "{dataset}"},
        ),
    log:
        "logs/{dataset}/report.log",
    benchmark:
        "benchmarks/{dataset}/report.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(30),
    params:
        dataset="{dataset}",
        settings=record,
        rho=lambda wildcards: entry(wildcards).texture.rho,
        correlation=lambda wildcards: entry(wildcards).texture.correlation,
        cells=grouped(
            *("crops", "crops_table", "masks", "views", "volumes", "slices", "textures"),
            *("rho_table", "shapes", "intensities"),
        ),
        images=image_files,
        evaluation=evaluation_files,
        work=work_files,
        version=STAGE_VERSIONS["report"],
    script:
        "../../scripts/report.py"
