rule slices:
    input:
        volumes=same_shard("volumes"),
        masks=same_shard("masks"),
        crops=source("crops.zarr.zip"),
    output:
        store="results/{dataset}/slices/shard-{shard}.zarr.zip",
    log:
        "logs/{dataset}/slices/shard-{shard}.log",
    benchmark:
        "benchmarks/{dataset}/slices/shard-{shard}.tsv"
    wildcard_constraints:
        dataset=one_of(THREE_D),
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(2000, each=2, items=cells),
        runtime=scaled(10, each=0.01, items=cells),
    params:
        dataset="{dataset}",
        seeded_as=seeded_as,
        voxel_size_um=lambda wildcards: entry(wildcards).voxel_size_um,
        settings=settings_of("slicing"),
        version=STAGE_VERSIONS["slices"],
    script:
        "../../scripts/slices.py"
