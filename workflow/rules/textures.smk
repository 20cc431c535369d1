rule train_texture:
    input:
        crops="results/{dataset}/crops.zarr.zip",
        base=texture_base,
    output:
        unet="results/{dataset}/models/texture/unet.safetensors",
        controlnet="results/{dataset}/models/texture/controlnet.safetensors",
        config="results/{dataset}/models/texture/config.json",
        table="results/{dataset}/models/texture/training.csv",
        rho="results/{dataset}/models/texture/rho.csv",
    log:
        "logs/{dataset}/models/texture.log",
    benchmark:
        "benchmarks/{dataset}/models/texture.tsv"
    wildcard_constraints:
        dataset=one_of(TRAINED),
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(24000),
        runtime=scaled(60, each=0.03, items=steps("texture")),
    params:
        checkpoints="checkpoints/{dataset}/texture",
        settings=lambda wildcards: block(entry(wildcards).texture, SAMPLING) | texture_folders(entry(wildcards).texture),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["train_texture"],
    script:
        "../../scripts/train_texture.py"


rule textures:
    input:
        masks=flat_masks,
        slices=same_shard("slices"),
        unet=source("models/texture/unet.safetensors"),
        controlnet=source("models/texture/controlnet.safetensors"),
        config=source("models/texture/config.json"),
        rho=source("models/texture/rho.csv"),
        crops=source("crops.zarr.zip"),
        base=texture_autoencoder,
        hardness=hardness_table,
    output:
        store="results/{dataset}/textures/shard-{shard}.zarr.zip",
    log:
        "logs/{dataset}/textures/shard-{shard}.log",
    benchmark:
        "benchmarks/{dataset}/textures/shard-{shard}.tsv"
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(10000, each=0.5, items=slices),
        runtime=scaled(15, each=on_device(gpu=0.005, cpu=0.2), items=slices_by_work),
    params:
        dataset="{dataset}",
        seeded_as=seeded_as,
        settings=settings_of("texture", without={"autoencoder", "base", "train", "tuning"}),
        focus=focus,
        seed=CONFIG.seed,
        max_invalid_fraction=CONFIG.max_invalid_fraction,
        version=STAGE_VERSIONS["textures"],
    script:
        "../../scripts/textures.py"
