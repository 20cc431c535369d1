rule background:
    input:
        frames=background_files,
        crops=source("crops.zarr.zip"),
    output:
        store="results/{dataset}/background.zarr.zip",
    log:
        "logs/{dataset}/background.log",
    benchmark:
        "benchmarks/{dataset}/background.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(6000),
        runtime=scaled(60),
    params:
        dataset="{dataset}",
        recording=background_frames,
        annotated=background_annotated,
        rim=lambda wildcards: entry(wildcards).population.rim,
        version=STAGE_VERSIONS["background"],
    script:
        "../../scripts/background.py"


rule population:
    input:
        textures=cell_shards("textures"),
        background="results/{dataset}/background.zarr.zip",
        crops=source("crops.zarr.zip"),
        hardness=hardness_table,
    output:
        folder=directory("results/{dataset}/population/shard-{image_shard}"),
    log:
        "logs/{dataset}/population/shard-{image_shard}.log",
    benchmark:
        "benchmarks/{dataset}/population/shard-{image_shard}.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(6000),
        runtime=scaled(15, each=0.5, items=images),
    params:
        images=image_range,
        dataset="{dataset}",
        seeded_as=seeded_as,
        settings=settings_of("population"),
        export=settings_of("export"),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["population"],
    script:
        "../../scripts/population.py"
