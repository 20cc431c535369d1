rule export:
    input:
        images="results/{dataset}/synthetic",
    output:
        folder=directory("results/{dataset}/export/{format}"),
    log:
        "logs/{dataset}/export/{format}.log",
    benchmark:
        "benchmarks/{dataset}/export/{format}.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(15, each=0.2, items=lambda wildcards: entry(wildcards).images),
    params:
        form="{format}",
        settings=lambda wildcards: block(getattr(entry(wildcards).formats, wildcards.format)),
        version=STAGE_VERSIONS["export"],
    script:
        "../../scripts/export.py"
