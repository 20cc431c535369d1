# Local: it links files that are there and writes tables.
localrules:
    synthetic,


rule synthetic:
    input:
        population=image_shards,
        sources=synthetic_sources,
    output:
        folder=directory("results/{dataset}/synthetic"),
    log:
        "logs/{dataset}/synthetic.log",
    benchmark:
        "benchmarks/{dataset}/synthetic.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        record=record,
        version=STAGE_VERSIONS["synthetic"],
    script:
        "../../scripts/synthetic.py"
