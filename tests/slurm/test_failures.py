"""What breaks on a cluster, done to real jobs: nothing finished is lost, and what is made again is the same to the bit."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cellcascade.shards import digest
from tests.slurm.cluster import until
from tests.slurm.conftest import Run, with_crops

WEIGHTS = "results/nuclei2d/models/mask_ddpm/model.safetensors"
MASKS = "results/nuclei2d/masks/shard-000.zarr.zip"
LOG = "logs/nuclei2d/models/mask_ddpm.log"
SHORT = ("--set-resources", "train_mask_ddpm:slurm_partition=gpu", "train_mask_ddpm:runtime=1 if attempt == 1 else 30")
SHORT += ("train_texture:slurm_partition=gpu", "train_texture:mem_mb=500 if attempt == 1 else 8000")


def checkpoint(run: Run) -> list[Path]:
    """The first checkpoint of the mask model, once it is there."""
    return list(run.folder.glob("checkpoints/nuclei2d/mask_ddpm-*/state.pt"))


def training(run: Run) -> dict[str, str]:
    """The job that trains the mask model, once it has a checkpoint and is not at its end."""
    return run.at_work("train_mask_ddpm", lambda: checkpoint(run))


def states(run: Run, rule: str) -> list[str]:
    return [job["JobState"].split("+")[0] for job in run.jobs(rule)]


def asked(job: dict[str, str]) -> tuple[int, int]:
    """Memory in MB and time in minutes that a job asked for."""
    days, _, clock = job["TimeLimit"].rpartition("-")
    hours, minutes, _ = clock.split(":")
    return int(job["MinMemoryNode"].removesuffix("M")), int(days or 0) * 1440 + int(hours) * 60 + int(minutes)


def assert_resumed(run: Run, cascade: Run, times: int = 1) -> None:
    """The training went on from a step in its middle, and its weights are those of an undisturbed one."""
    assert (run.folder / LOG).read_text().count("resuming from") == times, run.logs()
    assert digest(run.folder / WEIGHTS) == digest(cascade.folder / WEIGHTS)


def processes(run: Run) -> list[psutil.Process]:
    """Processes that work in a project's folder: jobs, and the Snakemakes around them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(run.folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module", autouse=True)
def short_of_all(cascade: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that takes a while beside the other tests: one training hangs, the other has too little memory."""
    run = with_crops(cascade, tmp_path_factory.mktemp("short"))
    head = run.start(WEIGHTS, WEIGHTS.replace("mask_ddpm/model", "texture/unet"), options=SHORT)
    training(run)
    for process in processes(run):
        if "train_mask_ddpm.py" in " ".join(process.cmdline()):
            process.suspend()
    run.head = head
    yield run
    run.finish(head)


def test_a_cancelled_training_is_retried_with_more_and_resumes(cascade, project):
    head = project.start(WEIGHTS)
    project.cluster.command("scancel", training(project)["JobId"])
    project.finish(head)
    assert states(project, "train_mask_ddpm") == ["CANCELLED", "COMPLETED"]
    first, second = map(asked, project.jobs())
    assert second == (2 * first[0], 2 * first[1])
    assert "Cancelled from outside (SIGTERM)" in (project.folder / LOG).read_text()
    assert_resumed(project, cascade)


def test_a_run_survives_a_node_that_goes_down_and_comes_back(cascade, project):
    head = project.start(WEIGHTS)
    job = training(project)
    project.cluster.command("scontrol", "update", "nodename=gpu1", "state=down", "reason=test")
    assert project.ended(job)["JobState"] == "NODE_FAIL" and "down" in project.cluster.states()["gpu1"]
    project.cluster.command("scontrol", "update", "nodename=gpu1", "state=resume")
    project.finish(head)
    assert states(project, "train_mask_ddpm") == ["NODE_FAIL", "COMPLETED"]
    assert_resumed(project, cascade)
