rule shapes:
    output:
        store="results/shared/spharm/shard-{shard}.zarr.zip",
    log:
        "logs/shared/spharm/shard-{shard}.log",
    benchmark:
        "benchmarks/shared/spharm/shard-{shard}.tsv"
    conda:
        "../../envs/diffusion.yaml"
    resources:
        mem_mb=scaled(3000, each=1, items=shapes),
        runtime=scaled(10, each=0.01, items=shapes),
    params:
        shapes=shape_range,
        views=CONFIG.multiview.views,
        cameras=CONFIG.multiview.cameras,
        surface=CONFIG.multiview.surface,
        settings=block(CONFIG.shapes, without={"count"}),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["shapes"],
    script:
        "../../scripts/shapes.py"
