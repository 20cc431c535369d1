# The first job of every data set: what is wrong with its frames and annotations stops the run before any training.
rule check:
    input:
        frames=annotated_files,
        test_frames=usable_test_files,
    output:
        table="results/{dataset}/check/findings.csv",
    log:
        "logs/{dataset}/check.log",
    benchmark:
        "benchmarks/{dataset}/check.tsv"
    wildcard_constraints:
        dataset=one_of(TRAINED),
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(15),
    params:
        dataset="{dataset}",
        recording=real_frames,
        test_recording=lambda wildcards: test_frames(wildcards) if usable_test_files(wildcards) else None,
        settings=settings_of("crops"),
        rim=lambda wildcards: entry(wildcards).population.rim,
        accept=lambda wildcards: list(entry(wildcards).accept),
        page="results/{dataset}/check/index.html",  # no output: it is kept when an error is found
        version=STAGE_VERSIONS["check"],
    script:
        "../../scripts/check.py"
