use rule crops as test_crops with:
    input:
        frames=test_files,
        checked=findings,
    output:
        store="results/{dataset}/evaluation/test_crops.zarr.zip",
        table="results/{dataset}/evaluation/test_crops.csv",
    log:
        "logs/{dataset}/evaluation/test_crops.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/test_crops.tsv"
    wildcard_constraints:
        dataset=one_of(CONFIG.datasets),
    params:
        dataset="{dataset}",
        recording=lambda wildcards, input: plain(compared_cells(wildcards)),
        annotated=lambda wildcards: how_read(compared_cells(wildcards)),
        settings=settings_of("crops"),
        version=STAGE_VERSIONS["crops"],


rule evaluate_shapes:
    input:
        crops=source("crops.zarr.zip"),
        masks=cell_shards("masks"),
    output:
        table="results/{dataset}/evaluation/shape.csv",
        cells="results/{dataset}/evaluation/shape_cells.csv",
    log:
        "logs/{dataset}/evaluation/shape.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/shape.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(15),
    params:
        version=STAGE_VERSIONS["evaluate_shapes"],
    script:
        "../../scripts/evaluate_shapes.py"


rule evaluate_textures:
    input:
        crops=source("crops.zarr.zip"),
        textures=cell_shards("textures"),
    output:
        table="results/{dataset}/evaluation/texture.csv",
        cells="results/{dataset}/evaluation/texture_cells.csv",
    log:
        "logs/{dataset}/evaluation/texture.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/texture.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(30),
    params:
        version=STAGE_VERSIONS["evaluate_textures"],
    script:
        "../../scripts/evaluate_textures.py"


rule evaluate_population:
    input:
        frames=annotated_files,
        synthetic="results/{dataset}/synthetic",
    output:
        table="results/{dataset}/evaluation/population.csv",
    log:
        "logs/{dataset}/evaluation/population.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/population.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        recording=real_frames,
        annotated=real_annotated,
        version=STAGE_VERSIONS["evaluate_population"],
    script:
        "../../scripts/evaluate_population.py"


rule evaluate_memorisation:
    input:
        crops=source("crops.zarr.zip"),
        test_crops="results/{dataset}/evaluation/test_crops.zarr.zip",
        masks=cell_shards("masks"),
        textures=cell_shards("textures"),
    output:
        table="results/{dataset}/evaluation/memorisation.csv",
    log:
        "logs/{dataset}/evaluation/memorisation.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/memorisation.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(6000),
        runtime=scaled(60),
    params:
        version=STAGE_VERSIONS["evaluate_memorisation"],
    script:
        "../../scripts/evaluate_memorisation.py"


rule evaluate_fid:
    input:
        crops=source("crops.zarr.zip"),
        test_crops=test_crops_if_any,
        textures=cell_shards("textures"),
        cellpose=style_network,
        inception=inception_weights,
    output:
        table="results/{dataset}/evaluation/fid.csv",
    log:
        "logs/{dataset}/evaluation/fid.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/fid.tsv"
    conda:
        "../../envs/segmentation.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(16000),
        runtime=scaled(60),
    params:
        dataset="{dataset}",
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["evaluate_fid"],
    script:
        "../../scripts/evaluate_fid.py"
