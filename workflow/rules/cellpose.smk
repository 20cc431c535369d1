rule train_cellpose:
    input:
        frames=annotated_files,
        synthetic=synthetic_images,
        start=cellpose_start,
    output:
        weights="results/{dataset}/evaluation/cellpose/{regime}-{seed}/model",
        record="results/{dataset}/evaluation/cellpose/{regime}-{seed}/config.json",
        table="results/{dataset}/evaluation/cellpose/{regime}-{seed}/training.csv",
    log:
        "logs/{dataset}/evaluation/cellpose/{regime}-{seed}/train.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/cellpose/train/{regime}-{seed}.tsv"
    conda:
        lambda wildcards: cellpose_environment(entry(wildcards).evaluation.cellpose.version)
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(8000, each=40, items=lambda wildcards: entry(wildcards).evaluation.cellpose.max_images),
        runtime=scaled(30, each=0.03, items=lambda wildcards: entry(wildcards).evaluation.training.steps),
    params:
        regime="{regime}",
        recording=real_frames,
        annotated=real_annotated,
        settings=lambda wildcards: block(entry(wildcards).evaluation.cellpose, without={"train"}),
        train=lambda wildcards: block(entry(wildcards).evaluation.training),
        checkpoints="checkpoints/{dataset}/cellpose-{regime}-{seed}",
        seed=lambda wildcards: seed_for(CONFIG.seed, "cellpose", int(wildcards.seed)),
        version=STAGE_VERSIONS["train_cellpose"],
    script:
        "../../scripts/train_cellpose.py"


rule predict_cellpose:
    input:
        frames=test_files,
        weights="results/{dataset}/evaluation/cellpose/{regime}-{seed}/model",
        record="results/{dataset}/evaluation/cellpose/{regime}-{seed}/config.json",
    output:
        store="results/{dataset}/evaluation/cellpose/{regime}-{seed}/predictions.zarr.zip",
        table="results/{dataset}/evaluation/cellpose/{regime}-{seed}/scores.csv",
    log:
        "logs/{dataset}/evaluation/cellpose/{regime}-{seed}/predict.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/cellpose/predict/{regime}-{seed}.tsv"
    conda:
        lambda wildcards: cellpose_environment(entry(wildcards).evaluation.cellpose.version)
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=scaled(6000, each=7e-5, items=test_voxels),
        runtime=scaled(30, each=0.002, items=test_planes),
    params:
        dataset="{dataset}",
        regime="{regime}",
        recording=test_frames,
        annotated=test_annotated,
        most=lambda wildcards: entry(wildcards).evaluation.max_test_frames,
        volumes=lambda wildcards: entry(wildcards).evaluation.cellpose.volumes,
        checkpoints="checkpoints/{dataset}/predictions-{regime}-{seed}",
        seed=lambda wildcards: int(wildcards.seed),
        version=STAGE_VERSIONS["predict_cellpose"],
    script:
        "../../scripts/predict_cellpose.py"


rule evaluate_seg:
    input:
        scores=of_networks("scores.csv"),
    output:
        seg="results/{dataset}/evaluation/seg.csv",
        gain="results/{dataset}/evaluation/gain.csv",
    log:
        "logs/{dataset}/evaluation/seg.log",
    benchmark:
        "benchmarks/{dataset}/evaluation/seg.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(10),
    params:
        dataset="{dataset}",
        version=STAGE_VERSIONS["evaluate_seg"],
    script:
        "../../scripts/evaluate_seg.py"
