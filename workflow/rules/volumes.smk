rule volumes:
    input:
        views=same_shard("views"),
        masks=same_shard("masks"),
    output:
        store="results/{dataset}/volumes/shard-{shard}.zarr.zip",
    log:
        "logs/{dataset}/volumes/shard-{shard}.log",
    benchmark:
        "benchmarks/{dataset}/volumes/shard-{shard}.tsv"
    wildcard_constraints:
        dataset=one_of(THREE_D),
    conda:
        "../../envs/diffusion.yaml"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000, each=6, items=cells_by_voxels),
        runtime=scaled(10, each=on_device(gpu=0.03, cpu=2), items=cells_by_voxels),
    params:
        dataset="{dataset}",
        seeded_as=seeded_as,
        settings=settings_of("reconstruction"),
        shapes=lambda wildcards: {} if wildcards.dataset in WITH_VIEWS else block(CONFIG.shapes, without={"count"}),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["volumes"],
    script:
        "../../scripts/volumes.py"
