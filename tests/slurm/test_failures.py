"""What breaks on a cluster, done to real jobs: nothing finished is lost, what is made again is the same to the bit."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from cellcascade.core.files import digest
from tests.slurm.cluster import until
from tests.slurm.conftest import CONFIGS, Run, with_crops
from tests.slurm.evidence import MASKS, TEXTURE, WEIGHTS, asked, assert_resumed, pids, states, training

SHORT = ("train_mask_ddpm:slurm_partition=gpu", "train_texture:slurm_partition=gpu")
SHORT += ("train_texture:mem_mb=500 if attempt == 1 else 8000",)


@pytest.fixture(scope="module", autouse=True)
def short_of_all(cascade: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that takes a while beside the other tests: one training has too little memory, the other hangs.

    Where it hangs, its time is cut to a minute, the least that SLURM knows: a slow machine would not come so far in it.
    """
    run = with_crops(cascade, tmp_path_factory.mktemp("short"))
    run.head = run.start(WEIGHTS, TEXTURE, options=("--set-resources", *SHORT))
    run.hung = training(run)
    run.cluster.command("scontrol", "update", f"jobid={run.hung['JobId']}", "timelimit=1")
    yield run
    run.finish(run.head)


def test_a_cancelled_training_is_retried_with_more_and_resumes(cascade, project):
    head = project.start(WEIGHTS)
    project.cluster.command("scancel", training(project)["JobId"])
    project.finish(head)
    assert states(project, "train_mask_ddpm") == ["CANCELLED", "COMPLETED"]
    first, second = map(asked, project.jobs())
    assert second == (2 * first[0], 2 * first[1])
    (cancelled,) = (project.folder / "logs/slurm").rglob(f"{project.jobs()[0]['JobId']}.log")
    assert "Cancelled from outside (SIGTERM)" in cancelled.read_text()
    assert_resumed(project, cascade)


def test_an_interrupted_head_cancels_its_jobs_and_a_second_run_does_what_is_missing(cascade, project):
    head = project.start(WEIGHTS)
    job = training(project)
    project.interrupt(head)
    project.finish(head, fails=True)
    assert project.ended(job)["JobState"].startswith("CANCELLED") and not (project.folder / WEIGHTS).exists()
    project.run(WEIGHTS)
    assert states(project) == states(project, "train_mask_ddpm") == ["CANCELLED", "COMPLETED"]
    assert_resumed(project, cascade)


def test_after_a_killed_head_a_second_run_and_the_orphans_of_the_first_leave_whole_files(cascade, project):
    head = project.start(MASKS)
    orphan = training(project)
    (script,) = pids(project, "train_mask_ddpm")
    head.kill()
    head.wait(60)
    assert "LockException" in project.run(MASKS, fails=True)
    project.snakemake("--unlock", *CONFIGS)
    head = project.start(MASKS)
    until(lambda: "resuming from" in project.logs(), "the second training", seconds=1800)
    assert [job["JobState"] for job in project.jobs("train_mask_ddpm")] == ["RUNNING", "RUNNING"]
    os.kill(script, signal.SIGCONT)
    project.finish(head)
    assert project.ended(orphan)["JobState"] == "COMPLETED"
    assert states(project, "train_mask_ddpm") == ["COMPLETED", "COMPLETED"] and states(project, "masks") == [
        "COMPLETED"
    ]
    assert_resumed(project, cascade)
    assert digest(project.folder / MASKS) == digest(cascade.folder / MASKS)
    assert not list((project.folder / "results").rglob(".*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_a_second_run_completes(cascade, project):
    disk, log = project.folder / "results", project.folder / "logs/nuclei2d/masks/shard-000.log"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", disk], check=True)
    try:
        made = cascade.folder / "results/nuclei2d"
        shutil.copytree(made / "models/mask_ddpm", disk / "nuclei2d/models/mask_ddpm")
        shutil.copytree(made / "check", disk / "nuclei2d/check")
        for name in ("crops.zarr.zip", "crops.csv"):
            shutil.copy2(made / name, disk / "nuclei2d")
        used = shutil.disk_usage(disk).used
        subprocess.run(["mount", "-o", f"remount,size={used + 24 * 1024}", disk], check=True)
        project.run(MASKS, options=("--retries", "0"), fails=True)
        assert "The disk is full" in log.read_text() and MASKS in log.read_text()
        assert "fault of the program" not in log.read_text() and not list((project.folder / MASKS).parent.glob("*"))
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        project.run(MASKS)
        assert digest(project.folder / MASKS) == digest(cascade.folder / MASKS)
        assert states(project) == ["FAILED", "COMPLETED"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_job_short_of_memory_and_one_short_of_time_are_retried_with_more(cascade, short_of_all):
    short_of_all.finish(short_of_all.head)
    assert states(short_of_all, "train_texture")[1:] == ["COMPLETED"]
    first = short_of_all.jobs("train_texture")[0]
    said = (short_of_all.cluster.folder / "log/slurmd-gpu1.log").read_text()
    assert f"StepId={first['JobId']}.0 exceeded memory limit" in said and first["JobState"] in (
        "FAILED",
        "OUT_OF_MEMORY",
    )
    assert [asked(job)[0] for job in short_of_all.jobs("train_texture")] == [500, 8000]
    assert states(short_of_all, "train_mask_ddpm") == ["TIMEOUT", "COMPLETED"]
    assert asked(short_of_all.jobs("train_mask_ddpm")[1])[1] == 2 * asked(short_of_all.hung)[1]
    assert_resumed(short_of_all, cascade)
    assert digest(short_of_all.folder / TEXTURE) == digest(cascade.folder / TEXTURE)
