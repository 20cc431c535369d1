rule overview:
    input:
        tables=compared,
    output:
        html=report(
            "results/{page}/index.html",
            caption="../report/page.rst",
            category="Across data sets",
            labels={"page": "{page}"},
        ),
        table="results/{page}/seg.csv",
    log:
        "logs/{page}.log",
    benchmark:
        "benchmarks/{page}.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(15),
    params:
        title=lambda wildcards: wildcards.page.replace("_", " ").capitalize(),
        datasets=lambda wildcards: {name: tables(name) for name in OVERVIEWS[wildcards.page]},
        curves=lambda wildcards: CONFIG.learning_curves if wildcards.page == "learning_curve" else [],
        replicates=lambda wildcards: CONFIG.replicates if wildcards.page == "learning_curve" else [],
        ablations=lambda wildcards: CONFIG.ablations if wildcards.page == "ablations" else [],
        version=STAGE_VERSIONS["overview"],
    script:
        "../../scripts/overview.py"
