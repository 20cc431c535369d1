# The only job that uses the network; local, because nodes of a cluster often have none.
localrules:
    texture_base,


rule texture_base:
    output:
        folder=directory("resources/{owner}/{model}"),
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
