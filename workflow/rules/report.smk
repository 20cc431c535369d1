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
        shape_table="results/{dataset}/evaluation/shape.csv",
        mask_training=source("models/mask_ddpm/training.csv"),
        texture_training=source("models/texture/training.csv"),
        real_frame=lambda wildcards: annotated_files(wildcards)[0],
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
        benchmarks="benchmarks/{dataset}",
        version=STAGE_VERSIONS["report"],
    script:
        "../../scripts/report.py"
