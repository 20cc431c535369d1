rule train_multiview:
    input:
        shapes=shape_shards,
    output:
        weights="results/shared/models/multiview/model.safetensors",
        config="results/shared/models/multiview/config.json",
        table="results/shared/models/multiview/training.csv",
    log:
        "logs/shared/models/multiview.log",
    benchmark:
        "benchmarks/shared/models/multiview.tsv"
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(16000, each=0.5, items=lambda wildcards: CONFIG.shapes.count),
        runtime=scaled(30, each=0.05, items=lambda wildcards: CONFIG.multiview.train.steps),
    params:
        checkpoints="checkpoints/shared/multiview",
        settings=block(CONFIG.multiview, without=SAMPLING | {"weights"}),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["train_multiview"],
    script:
        "../../scripts/train_multiview.py"


rule views:
    input:
        model=multiview_weights,
        masks=same_shard("masks"),
    output:
        store="results/{dataset}/views/shard-{shard}.zarr.zip",
    log:
        "logs/{dataset}/views/shard-{shard}.log",
    benchmark:
        "benchmarks/{dataset}/views/shard-{shard}.tsv"
    wildcard_constraints:
        dataset=one_of(WITH_VIEWS),
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000, each=1, items=cells),
        runtime=scaled(10, each=on_device(gpu=0.01, cpu=1), items=cells),
    params:
        weights=MULTIVIEW_FOLDER,
        dataset="{dataset}",
        seeded_as=seeded_as,
        settings=sampling(CONFIG.multiview, without={"weights"}),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["views"],
    script:
        "../../scripts/views.py"
