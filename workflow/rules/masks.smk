rule train_mask_ddpm:
    input:
        crops="results/{dataset}/crops.zarr.zip",
        base=mask_base,
    output:
        weights="results/{dataset}/models/mask_ddpm/model.safetensors",
        config="results/{dataset}/models/mask_ddpm/config.json",
        table="results/{dataset}/models/mask_ddpm/training.csv",
    log:
        "logs/{dataset}/models/mask_ddpm.log",
    benchmark:
        "benchmarks/{dataset}/models/mask_ddpm.tsv"
    wildcard_constraints:
        dataset=one_of(TRAINED),
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(12000),
        runtime=scaled(30, each=0.02, items=steps("mask_ddpm")),
    params:
        checkpoints="checkpoints/{dataset}/mask_ddpm",
        settings=settings_of("mask_ddpm", without=SAMPLING),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["train_mask_ddpm"],
    script:
        "../../scripts/train_mask_ddpm.py"


rule masks:
    input:
        weights=source("models/mask_ddpm/model.safetensors"),
        config=source("models/mask_ddpm/config.json"),
        crops=source("crops.zarr.zip"),
        hardness=hardness_table,
    output:
        store="results/{dataset}/masks/shard-{shard}.zarr.zip",
    log:
        "logs/{dataset}/masks/shard-{shard}.log",
    benchmark:
        "benchmarks/{dataset}/masks/shard-{shard}.tsv"
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000, each=1, items=cells),
        runtime=scaled(10, each=on_device(gpu=0.01, cpu=0.5), items=masks_drawn),
    params:
        cells=cell_range,
        dataset="{dataset}",
        seeded_as=seeded_as,
        settings=lambda wildcards: sampling(entry(wildcards).mask_ddpm, without={"base", "tuning"}),
        focus=focus,
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["masks"],
    script:
        "../../scripts/masks.py"
