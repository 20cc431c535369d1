import os

from snakemake.utils import min_version

min_version("9.0")

# Threads of the jobs that wait for others sleep instead of spinning: two jobs side by side would slow each other tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Importing diffusers asks whether there is a GPU; asked of the driver, that would fix the job's GPU before it is chosen.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


configfile: "config.yaml"


# On a workstation `--resources gpu=1` lets one GPU job run at a time; on a cluster the scheduler counts the GPUs.
resource_scopes:
    gpu="local",


include: "workflow/rules/common.smk"
include: "workflow/rules/common_cells.smk"
include: "workflow/rules/common_starts.smk"
include: "workflow/rules/common_resources.smk"
include: "workflow/rules/common_evaluation.smk"
include: "workflow/rules/common_report.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/crops.smk"
include: "workflow/rules/prior.smk"
include: "workflow/rules/masks.smk"
include: "workflow/rules/shapes.smk"
include: "workflow/rules/views.smk"
include: "workflow/rules/volumes.smk"
include: "workflow/rules/slices.smk"
include: "workflow/rules/textures.smk"
include: "workflow/rules/hardness.smk"
include: "workflow/rules/population.smk"
include: "workflow/rules/synthetic.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/cellpose.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/copy_paste.smk"
include: "workflow/rules/overview.smk"


localrules:
    all,
    prior,
    learning_curve,
    ablations,


# Without the scheduler's commands Snakemake would wait for ever for the first job.
onstart:
    require_scheduler(workflow.executor_plugin.name)


rule all:
    default_target: True
    input:
        products,


rule prior:
    input:
        *(f"{PRIOR}texture/{name}" for name in prior_file_names("texture")),
        *(f"{PRIOR}mask_ddpm/{name}" for name in prior_file_names("mask_ddpm")),


rule learning_curve:
    input:
        page_of("learning_curve"),


rule ablations:
    input:
        page_of("ablations"),
