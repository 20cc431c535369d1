"""Snakemake as a job, and what is left of a run whose Snakemake is gone, on a real cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from cellcascade.core import runs
from tests.slurm.cluster import until
from tests.slurm.conftest import CONFIGS, HEAD, OPTIONS, Run
from tests.slurm.evidence import WEIGHTS, assert_resumed, checkpoint, states, training


@pytest.fixture
def driven(project: Run) -> Run:
    """A project in which a job finds `snakemake` with the waits of these tests, and `cellcascade`."""
    programs = project.folder / "bin"
    programs.mkdir()
    commands = {"snakemake": (*HEAD, *OPTIONS[2:]), "cellcascade": (sys.executable, "-m", "cellcascade")}
    for name, command in commands.items():
        words = [word for word in command if word not in CONFIGS]
        (programs / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    return project


def call(run: Run, *command: str, fails: bool = False) -> str:
    """Run a command as a user of the cluster does, with the programs of the project."""
    environment = run.environment | run.cluster.environment
    environment["PATH"] = f"{run.folder / 'bin'}:{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(command, cwd=run.folder, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def drive(run: Run, *options: str) -> dict[str, str]:
    """Submit the driver; gives its job."""
    number = call(run, "sbatch", "--parsable", *options, "slurm/driver.sbatch", WEIGHTS, *CONFIGS).strip()
    return {"JobId": number}


def now(run: Run, job: dict[str, str]) -> dict[str, str]:
    """What the cluster says of a job."""
    (found,) = [other for other in run.jobs() if other["JobId"] == job["JobId"]]
    return found


def said(run: Run, job: dict[str, str]) -> str:
    """What a driver has written."""
    path = run.folder / f"driver-{job['JobId']}.log"
    return path.read_text() if path.exists() else ""


def trained(run: Run) -> list[str]:
    """States of the jobs that train, oldest first."""
    return states(run, "train_mask_ddpm")


def is_requeued(job: dict[str, str]) -> bool:
    """Whether a job waits to run again: while its first run is still being cleared away, it cannot be changed."""
    return job["Restarts"] == "1" and job["JobState"] not in ("COMPLETING", "REQUEUED")


def test_a_driver_whose_time_is_nearly_over_stops_its_jobs_requeues_itself_and_goes_on(cascade, driven):
    driver = drive(driven)
    job = training(driven)
    call(driven, "scancel", "--signal=USR1", "--batch", driver["JobId"])
    assert driven.ended(job)["JobState"] == "CANCELLED"
    until(lambda: is_requeued(now(driven, driver)), f"the driver is requeued\n{said(driven, driver)}")
    assert driven.ended(driver)["JobState"] == "COMPLETED", said(driven, driver)
    assert trained(driven) == ["CANCELLED", "COMPLETED"]
    assert "is requeued and goes on" in said(driven, driver) and "was killed" not in said(driven, driver)
    assert_resumed(driven, cascade)


def test_a_cancelled_driver_cancels_its_jobs_and_says_how_to_go_on(driven):
    driver = drive(driven)
    job = training(driven)
    assert "A run is at work here" in call(driven, "cellcascade", "recover", "--cancel", fails=True)
    call(driven, "scancel", driver["JobId"])
    assert driven.ended(driver)["JobState"] == "CANCELLED" and driven.ended(job)["JobState"] == "CANCELLED"
    assert f"Cancelled (go on with: sbatch slurm/driver.sbatch {WEIGHTS} " in said(driven, driver)
    until(lambda: not runs.is_locked(driven.folder), f"Snakemake frees the folder\n{said(driven, driver)}")
    assert now(driven, driver)["Restarts"] == "0"


def test_a_driver_with_less_than_an_hour_says_so(driven):
    driver = drive(driven, "--time=50")
    assert driven.ended(driver)["JobState"] == "FAILED" and "needs an hour at least" in said(driven, driver)
    assert not trained(driven)


def test_jobs_of_a_killed_run_are_found_and_the_next_driver_cancels_them_and_goes_on(cascade, driven):
    head = driven.start(WEIGHTS)
    orphan = training(driven)
    head.kill()
    head.wait(60)
    found = call(driven, "cellcascade", "recover", "--dry-run")
    assert "was killed: no step was done" in found and "would be unlocked" in found
    assert f"    {orphan['JobId']} RUNNING " in found and "rule_train_mask_ddpm" in found
    assert f"    {WEIGHTS}\n" in found and f"{checkpoint(driven)[0].parent.name} at step" in found
    assert "left there, as jobs may be using them" in found or "Temporary files" not in found
    assert f"    sbatch slurm/driver.sbatch {WEIGHTS} " in found
    assert runs.is_locked(driven.folder) and trained(driven) == ["RUNNING"]
    driver = drive(driven)
    assert driven.ended(driver)["JobState"] == "COMPLETED", said(driven, driver)
    assert "    cancelled" in said(driven, driver) and "left locked: unlocked" in said(driven, driver)
    assert trained(driven) == ["CANCELLED", "COMPLETED"]
    assert_resumed(driven, cascade)
    assert "Nothing is left to do." in call(driven, "cellcascade", "recover")
