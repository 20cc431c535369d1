# The only jobs that use the network; local, because nodes of a cluster often have none.
localrules:
    download_ctc,
    texture_base,
    cellpose_weights,
    inception_weights,


# No output: Snakemake removes the outputs of a job that failed, and these are data.
rule download_ctc:
    log:
        "logs/download_ctc.log",
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(240),
    params:
        archives=archives_to_fetch,
    script:
        "../../scripts/download_ctc.py"


rule texture_base:
    output:
        checksums="resources/{owner}/{model}/SHA256SUMS",
    log:
        "logs/resources/{owner}/{model}.log",
    wildcard_constraints:
        owner=r"[\w.-]+",
        model=r"[\w.-]+",
    conda:
        "../../envs/diffusion.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(120),
    params:
        hub_id="{owner}/{model}",
    script:
        "../../scripts/texture_base.py"


rule cellpose_weights:
    output:
        weights="resources/cellpose/{name}",
    log:
        "logs/resources/cellpose/{name}.log",
    wildcard_constraints:
        name=r"[\w.-]+",
    conda:
        lambda wildcards: cellpose_environment(version_named(wildcards.name))
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
    params:
        name="{name}",
    script:
        "../../scripts/cellpose_weights.py"


rule inception_weights:
    output:
        weights=INCEPTION_FILE,
    log:
        "logs/resources/inception.log",
    conda:
        "../../envs/segmentation.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
    script:
        "../../scripts/inception_weights.py"
