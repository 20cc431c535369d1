rule crops:
    input:
        frames=annotated_files,
    output:
        store="results/{dataset}/crops.zarr.zip",
        table="results/{dataset}/crops.csv",
    log:
        "logs/{dataset}/crops.log",
    benchmark:
        "benchmarks/{dataset}/crops.tsv"
    wildcard_constraints:
        dataset=one_of(TRAINED),
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        dataset="{dataset}",
        folder=data_folder,
        sequence=lambda wildcards: entry(wildcards).train_sequence,
        annotations=lambda wildcards: entry(wildcards).annotations,
        voxel_size_um=lambda wildcards: entry(wildcards).voxel_size_um,
        annotated=lambda wildcards: entry(wildcards).annotated,
        settings=settings_of("crops"),
        version=STAGE_VERSIONS["crops"],
    script:
        "../../scripts/crops.py"
