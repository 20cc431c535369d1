"""What the cluster and the logs say of a run's jobs."""

import os
import signal
from pathlib import Path

from cellcascade.core.files import digest
from tests.slurm.conftest import Run

WEIGHTS = "results/nuclei2d/models/mask_ddpm/model.safetensors"
TEXTURE = "results/nuclei2d/models/texture/unet.safetensors"
MASKS = "results/nuclei2d/masks/shard-000.zarr.zip"
LOG = "logs/nuclei2d/models/mask_ddpm.log"


def checkpoint(run: Run) -> list[Path]:
    """The first checkpoint of the mask model, once it is there."""
    return list(run.folder.glob("checkpoints/nuclei2d/mask_ddpm-*/state.pt"))


def training(run: Run) -> dict[str, str]:
    """The job that trains the mask model, held where its first checkpoint is: on a slow machine, it would end first.

    SLURM lets a stopped process go on (SIGCONT) before it asks it to end.
    """
    job = run.at_work("train_mask_ddpm", lambda: checkpoint(run))
    for pid in pids(run, "train_mask_ddpm"):
        os.kill(pid, signal.SIGSTOP)
    return job


def states(run: Run, rule: str = "") -> list[str]:
    """States of a project's jobs, or of those of one rule, oldest first."""
    return [job["JobState"].split("+")[0] for job in run.jobs(rule)]


def asked(job: dict[str, str]) -> tuple[int, int]:
    """Memory in MB and time in minutes that a job asked for."""
    days, _, clock = job["TimeLimit"].rpartition("-")
    hours, minutes, _ = clock.split(":")
    memory = job["MinMemoryNode"]
    return int(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]], int(days or 0) * 1440 + int(hours) * 60 + int(minutes)


def assert_resumed(run: Run, cascade: Run, times: int = 1) -> None:
    """The training went on from a step in its middle, and its weights are those of an undisturbed one."""
    assert (run.folder / LOG).read_text().count("resuming from") == times, run.logs()
    assert digest(run.folder / WEIGHTS) == digest(cascade.folder / WEIGHTS)


def pids(run: Run, rule: str) -> list[int]:
    """Processes that run the script of a rule in a project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(process / "cwd") == str(run.folder)
            if here and f".{rule}.py" in (process / "cmdline").read_text():
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found
