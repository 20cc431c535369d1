rule real_cells:
    input:
        frames=annotated_files,
        crops=source("crops.zarr.zip"),
    output:
        store="results/{dataset}/evaluation/copy_paste/cells.zarr.zip",
    log:
        "logs/{dataset}/evaluation/copy_paste/cells.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/copy_paste/cells.tsv"
    conda:
        "../../envs/images.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        dataset="{dataset}",
        recording=real_frames,
        annotated=real_annotated,
        seeded_as=seeded_as,
        settings=settings_of("crops"),
        slicing=settings_of("slicing"),
        version=STAGE_VERSIONS["real_cells"],
    script:
        "../../scripts/real_cells.py"


# As many cells on the same backgrounds as in the synthetic images of the same numbers, but copies of the real ones.
rule copy_paste:
    input:
        textures=["results/{dataset}/evaluation/copy_paste/cells.zarr.zip"],
        background="results/{dataset}/background.zarr.zip",
        crops=source("crops.zarr.zip"),
        hardness=hardness_table,
    output:
        folder=directory("results/{dataset}/evaluation/copy_paste/images"),
    log:
        "logs/{dataset}/evaluation/copy_paste/images.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/copy_paste/images.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(6000),
        runtime=scaled(15, each=0.5, items=pasted_images),
    params:
        images=lambda wildcards: (0, pasted_images(wildcards)),
        dataset="{dataset}",
        seeded_as=seeded_as,
        settings=settings_of("population", without={"twins"}),
        export=settings_of("export"),
        seed=CONFIG.seed,
        version=STAGE_VERSIONS["copy_paste"],
    script:
        "../../scripts/copy_paste.py"
