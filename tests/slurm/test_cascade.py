"""The cascade in 2D on a real cluster: where its jobs ran, and with what. The rest of it is for tests/e2e."""

import re

import pandas as pd

from cellcascade.data.ngff import read_image
from tests.slurm.conftest import TARGET
from tests.workflow.test_dag import ON_GPU


def rule_of(job: dict[str, str], rules: set[str]) -> str:
    name = job["Comment"].removeprefix("rule_").split("_wildcards_")[0]
    assert name in rules, job
    return name


def test_every_job_ran_once_and_the_images_are_there(cascade):
    jobs = cascade.jobs()
    assert {job["JobState"] for job in jobs} == {"COMPLETED"} and len({job["Comment"] for job in jobs}) == len(jobs)
    for name in pd.read_csv(cascade.folder / TARGET / "manifest.csv")["path"]:
        made = read_image(cascade.folder / TARGET / name)
        assert made.image[0].ndim == 2 and made.labels[0].max().compute() > 0


def test_gpu_rules_asked_for_one_gpu_and_the_others_for_none(cascade):
    cpu_only = {"check", "crops", "background", "population"}
    seen = set()
    for job in cascade.jobs():
        rule = rule_of(job, ON_GPU | cpu_only)
        expected = ("gpu", "gres:gpu:1") if rule in ON_GPU else ("cpu", None)
        assert (job["Partition"], job.get("TresPerJob")) == expected, job
        seen.add(rule)
    assert seen == cpu_only | {"train_mask_ddpm", "train_texture", "masks", "textures"}


def test_two_gpu_jobs_ran_at_the_same_time_on_different_devices(cascade):
    assert cascade.devices and all(len(set(found)) == len(found) <= 2 for found in cascade.devices)
    assert ("0", "1") in {tuple(sorted(found)) for found in cascade.devices}


def test_every_job_says_with_what_it_ran(cascade):
    logs = [path for path in (cascade.folder / "logs").rglob("*.log") if "slurm" not in path.parts]
    assert len(logs) == len(cascade.jobs()) + 1  # and that of rule synthetic, which ran beside the head
    for path in logs:
        text = path.read_text()
        for line in (r"seed (\d+|-), \d+ threads", r"packages: python 3\.\d+\.\d+, numpy 2", r"peak memory: \d+ MB"):
            assert len(re.findall(line, text)) == 1, f"{path}: {line}"
        asked = "a GPU (CUDA_VISIBLE_DEVICES=" in text
        assert asked == ("no GPU" not in text) == ("running on" in text), text


def test_a_second_run_does_nothing(cascade):
    before = len(cascade.jobs())
    assert "Nothing to be done" in cascade.run(TARGET) and len(cascade.jobs()) == before


def test_a_single_target_with_its_slash_is_found(cascade):
    assert "Nothing to be done" in cascade.run(f"{TARGET}/")


def test_a_job_that_was_given_a_gpu_and_sees_none_stops_at_once(cascade, project):
    (project.folder / "gpu.yaml").write_text("device: auto\n")
    target = "results/nuclei2d/models/mask_ddpm/model.safetensors"
    output = project.run(target, options=("gpu.yaml", "--retries", "0"), fails=True)
    log = (project.folder / "logs/nuclei2d/models/mask_ddpm.log").read_text()
    (job,) = project.jobs()
    assert (
        job["JobState"] == "FAILED" and job["TresPerJob"] == "gres:gpu:1" and "Error in rule train_mask_ddpm" in output
    )
    assert "asked for a GPU and sees none" in log and f"SLURM_JOB_ID={job['JobId']}" in log
    assert "step" not in log.replace("stage version", "") and not (project.folder / "checkpoints").exists()
