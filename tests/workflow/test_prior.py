"""Priors in the workflow: trained from many data sets, found by others, refused before a job waits for a GPU."""

import json
import shutil

import pytest

from tests.workflow.dry_run import REPOSITORY, job_counts, jobs

DEMO = ("--configfile", "demo/config.yaml")
BUNDLED = REPOSITORY / "src/cellcascade/weights/nuclei"


def test_priors_are_trained_on_the_crops_of_the_data_sets_that_are_named(project):
    (project.folder / "own.yaml").write_text("prior: {data: [nuclei2d, embryo3d]}\n")
    planned = project.dry_run("prior", *DEMO, "own.yaml")
    trained = {"train_texture_prior": 1, "train_mask_ddpm_prior": 1}
    assert job_counts(planned) == {"check": 2, "crops": 2, **trained, "prior": 1, "total": 7}


def test_without_data_sets_no_prior_can_be_trained(project):
    output = project.dry_run("prior", *DEMO, fails=True)
    assert "prior.data" in output and "Traceback" not in output


def test_a_data_set_that_starts_from_ones_own_priors_trains_them_first(project):
    (project.folder / "own.yaml").write_text(
        "prior: {data: [embryo3d]}\n"
        "run: [nuclei2d]\n"
        "datasets:\n"
        "  nuclei2d:\n"
        "    texture: {base: results/shared/models/prior-texture}\n"
        "    mask_ddpm: {base: results/shared/models/prior-mask_ddpm}\n"
    )
    planned = jobs(project.dry_run("results/nuclei2d/synthetic/", *DEMO, "own.yaml"))
    inputs = {job["rule"]: job.get("input") or "" for job in planned}
    assert inputs["train_texture_prior"] == inputs["train_mask_ddpm_prior"] == "results/embryo3d/crops.zarr.zip"
    assert "results/shared/models/prior-texture/unet.safetensors" in inputs["train_texture"]
    assert "results/shared/models/prior-mask_ddpm/model.safetensors" in inputs["train_mask_ddpm"]


def test_a_prior_in_a_folder_is_an_input_and_one_that_is_damaged_stops_the_plan(project):
    shutil.copytree(BUNDLED, project.folder / "lab")
    (project.folder / "own.yaml").write_text(
        "run: [nuclei2d]\ndatasets: {nuclei2d: {texture: {base: lab/texture}, mask_ddpm: {base: lab/mask_ddpm}}}\n"
    )
    inputs = {job["rule"]: job.get("input") or "" for job in jobs(project.dry_run("all", *DEMO, "own.yaml"))}
    assert "lab/texture/unet.safetensors" in inputs["train_texture"]
    assert "lab/mask_ddpm/model.safetensors" in inputs["train_mask_ddpm"]
    record = json.loads((project.folder / "lab/mask_ddpm/config.json").read_text())
    (project.folder / "lab/mask_ddpm/config.json").write_text(json.dumps(record | {"prior": 0}))
    output = project.dry_run("all", *DEMO, "own.yaml", fails=True)
    assert "The prior of masks cannot be loaded" in output and "version 0" in output and "Traceback" not in output


@pytest.fixture
def gowt1(project):
    """A project with data in the place of GOWT1's."""
    folder = project.folder / "data/Fluo-N2DH-GOWT1"
    shutil.copytree(REPOSITORY / "demo/data/DSB2018-20x", folder)
    for sequence in ("01", "02"):
        shutil.copytree(folder / f"{sequence}_GT", folder / f"{sequence}_ST")
    return project


def test_the_ablation_of_the_prior_has_the_same_steps_with_and_without(gowt1):
    files = ("--configfile", "config.yaml", "presets/ablation-prior.yaml")
    planned = [job["wildcards"] for job in jobs(gowt1.dry_run("ablations", *files)) if job["rule"] == "train_texture"]
    variants = [f"{kind}_{steps}" for kind in ("prior", "scratch") for steps in (50, 150, 700)]
    assert sorted(planned) == sorted(f"dataset={name}" for name in ["one_frame", *variants])


def test_the_ablation_of_composing_has_the_same_models(gowt1):
    presets = [f"presets/{name}.yaml" for name in ("cpu", "evaluation-cpu", "ablation-population")]
    planned = jobs(gowt1.dry_run("ablations", "--configfile", "config.yaml", *presets))
    names = {job["wildcards"] for job in planned if job["rule"] == "train_texture"}
    composed = {job["wildcards"].split(",")[0] for job in planned if job["rule"] == "population"}
    variants = ("denser", "focused", "no_distractors", "one_frame", "papers_layout")
    assert names == {"dataset=one_frame"} and composed == {f"dataset={name}" for name in variants}
