# The first job of every data set: what is wrong with its frames and annotations stops the run before any training.
# All else depends on it, so nothing but what also remakes the crops may remake it: the other params are functions of the
# input, which Snakemake does not compare with those of the last run.
rule check:
    input:
        frames=annotated_files,
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
        annotated=real_annotated,
        test_recording=usable_test_frames,
        settings=settings_of("crops"),
        rim=own_rim,
        accept=lambda wildcards, input: list(entry(wildcards).accept),
        page="results/{dataset}/check/index.html",  # no output: it is kept when an error is found
        version=STAGE_VERSIONS["check"],
    script:
        "../../scripts/check.py"


# Other test frames are looked at again, and remake what depends on them alone: not the crops, nor what is learned.
use rule check as check_tests with:
    input:
        frames=test_files,
        checked="results/{dataset}/check/findings.csv",
    output:
        table="results/{dataset}/check/tests.csv",
    log:
        "logs/{dataset}/check_tests.log",
    benchmark:
        "benchmarks/{dataset}/check_tests.tsv"
    wildcard_constraints:
        dataset=one_of(TESTED),
    params:
        dataset="{dataset}",
        recording=real_frames,
        annotated=test_annotated,
        test_recording=test_frames,
        settings=settings_of("crops"),
        rim=own_rim,
        accept=lambda wildcards, input: list(entry(wildcards).accept),
        page="results/{dataset}/check/index.html",
        version=STAGE_VERSIONS["check"],
