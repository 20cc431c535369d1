rule train_texture_prior:
    input:
        crops=prior_crops,
    output:
        unet="results/shared/models/prior-texture/unet.safetensors",
        controlnet="results/shared/models/prior-texture/controlnet.safetensors",
        config="results/shared/models/prior-texture/config.json",
        table="results/shared/models/prior-texture/training.csv",
    log:
        "logs/shared/models/prior-texture.log",
    benchmark:
        "benchmarks/shared/models/prior-texture.tsv"
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000, each=2, items=lambda wildcards: CONFIG.prior.domains),
        runtime=scaled(60, each=0.03, items=lambda wildcards: CONFIG.prior.texture.train.steps),
    params:
        checkpoints="checkpoints/shared/prior-texture",
        settings=block(CONFIG.prior.texture, without=SAMPLING),
        domains=CONFIG.prior.domains,
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["train_texture_prior"],
    script:
        "../../scripts/train_texture_prior.py"


rule train_mask_ddpm_prior:
    input:
        crops=prior_crops,
    output:
        weights="results/shared/models/prior-mask_ddpm/model.safetensors",
        config="results/shared/models/prior-mask_ddpm/config.json",
        table="results/shared/models/prior-mask_ddpm/training.csv",
    log:
        "logs/shared/models/prior-mask_ddpm.log",
    benchmark:
        "benchmarks/shared/models/prior-mask_ddpm.tsv"
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000),
        runtime=scaled(60, each=0.02, items=lambda wildcards: CONFIG.prior.mask_ddpm.train.steps),
    params:
        checkpoints="checkpoints/shared/prior-mask_ddpm",
        settings=block(CONFIG.prior.mask_ddpm, without=SAMPLING),
        outlines=CONFIG.prior.outlines,
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["train_mask_ddpm_prior"],
    script:
        "../../scripts/train_mask_ddpm_prior.py"
