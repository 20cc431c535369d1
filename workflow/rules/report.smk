rule report:
    input:
        crops=source("crops.zarr.zip"),
        crops_table=source("crops.csv"),
        masks=cell_shards("masks"),
        views=cell_shards_3d("views", WITH_VIEWS),
        volumes=cell_shards_3d("volumes"),
        slices=cell_shards_3d("slices"),
        textures=cell_shards("textures"),
        synthetic="results/{dataset}/synthetic",
        tables=lambda wildcards: list(tables(wildcards.dataset).values()),
        predictions=of_networks("predictions.zarr.zip", seeds=[0]),
        mask_training=source("models/mask_ddpm/training.csv"),
        texture_training=source("models/texture/training.csv"),
        rho=source("models/texture/rho.csv"),
        real_frame=lambda wildcards: annotated_files(wildcards)[0],
        test_frames=lambda wildcards: test_files(wildcards) if networks_of(wildcards.dataset) else [],
    output:
        html=report(
            "results/{dataset}/report/index.html",
            caption="../report/index.rst",
            category="Report",
            subcategory="{dataset}",
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
        config=record,
        evaluation=lambda wildcards: tables(wildcards.dataset),
        truth=lambda wildcards: [data_folder(wildcards), entry(wildcards).test_sequence],
        benchmarks="benchmarks/{dataset}",
        version=STAGE_VERSIONS["report"],
    script:
        "../../scripts/report.py"
