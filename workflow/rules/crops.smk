rule crops:
    input:
        frames=annotated_files,
        checked="results/{dataset}/check/findings.csv",
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
    threads: CONFIG.threads
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        dataset="{dataset}",
        recording=real_frames,
        annotated=real_annotated,
        settings=settings_of("crops"),
        version=STAGE_VERSIONS["crops"],
    script:
        "../../scripts/crops.py"
