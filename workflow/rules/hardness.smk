# Only asked for where population.focus is above 0.
rule hardness:
    input:
        frames=annotated_files,
        checked="results/{dataset}/check/findings.csv",
        start=cellpose_start,
    output:
        table="results/{dataset}/hardness.csv",
    log:
        "logs/{dataset}/hardness.log",
    benchmark:
        "benchmarks/{dataset}/hardness.tsv"
    wildcard_constraints:
        dataset=one_of(TRAINED),
    conda:
        lambda wildcards: cellpose_environment(entry(wildcards).evaluation.cellpose.version)
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000, each=1, items=judging_memory),
        runtime=scaled(30, each=1, items=judging_minutes),
    params:
        recording=real_frames,
        annotated=real_annotated,
        settings=lambda wildcards: block(entry(wildcards).evaluation.cellpose, without={"train"}),
        train=lambda wildcards: block(judging_training(wildcards)),
        checkpoints="checkpoints/{dataset}/hardness",
        seed=seed_for(CONFIG.seed, "hardness"),
        version=STAGE_VERSIONS["hardness"],
    script:
        "../../scripts/hardness.py"
