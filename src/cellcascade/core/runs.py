"""Runs of Snakemake in a folder: what their logs say, whether one is at work, and which of their jobs go on without it.

Snakemake has no command that tells these, so its folder `.snakemake` is read here: the header of its logs, and whether
there are locks. Nothing in it is written.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cellcascade.core.errors import InputError

LOGS = ".snakemake/log"
SCRIPTS = ".snakemake/scripts"
HEADER = re.compile(r"^  (Date|Host|Command|Snakefile): (.*)$", re.MULTILINE)
RUN_ID = re.compile(r"(?:[\w-]{1,50}_)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")  # the executor's name of its jobs
DRIVER = "cellcascade"  # name of the job of slurm/driver.sbatch
QUEUE = "%i|%T|%j|%k|%Z"  # ID, state, name, comment, folder


@dataclass(frozen=True)
class Run:
    """A run, as its log describes it.

    Attributes:
        date: When it began.
        host: The machine it ran on.
        command: Its command; the quotes are lost.
        snakefile: The file it ran.
        progress: How far it came, e.g. `8 of 27 steps (30%) done`; empty if no step was done.
        ended: Whether it ended by itself, well or with failed jobs; else it was killed, or is at work.
        on_cluster: Whether its jobs were SLURM's.
    """

    date: str
    host: str
    command: str
    snakefile: str
    progress: str
    ended: bool
    on_cluster: bool


@dataclass(frozen=True)
class Job:
    """A job of a run: a process of this machine, or a job of SLURM.

    Attributes:
        id: Number of the process, or ID of the job.
        state: `RUNNING`, `PENDING`, …
        name: Its rule, or the name and comment that SLURM has.
    """

    id: str
    state: str
    name: str


def last_run(folder: Path) -> Run | None:
    """The last run in a folder that had jobs to do; `None` if there was none."""
    for path in sorted((folder / LOGS).glob("*.log"), reverse=True):
        text = path.read_text(errors="replace")
        if "Job stats:" not in text:
            continue  # it unlocked the folder, found it locked, or had nothing to do
        header = dict(HEADER.findall(text))
        steps = re.findall(r"^\d+ of \d+ steps .*$", text, re.MULTILINE)
        return Run(
            date=header.get("Date", "?"),
            host=header.get("Host", "?"),
            command=header.get("Command", "snakemake"),
            snakefile=header.get("Snakefile", "Snakefile"),
            progress=steps[-1] if steps else "",
            ended="Complete log(s):" in text,
            on_cluster="SLURM run ID:" in text,
        )
    return None


def is_locked(folder: Path) -> bool:
    """Whether a run has locked the folder, and has not freed it."""
    return any((folder / ".snakemake/locks").glob("*.lock"))


def heads(folder: Path) -> list[str]:
    """Processes of this machine that run Snakemake in a folder: they have a log there open."""
    import psutil  # comes with Snakemake

    logs, found = os.path.realpath(folder / LOGS), []
    for process in psutil.process_iter():
        try:
            if any(os.path.dirname(file.path) == logs for file in process.open_files()):
                found.append(str(process.pid))
        except psutil.Error:
            continue  # another user's, or it has just ended
    return found


def orphans(folder: Path) -> list[Job]:
    """Scripts of rules that run on this machine in a folder, and are not jobs of SLURM."""
    import psutil

    scripts, found = os.path.realpath(folder / SCRIPTS), []
    for process in psutil.process_iter():
        try:
            words = [word for word in process.cmdline() if os.path.realpath(os.path.dirname(word)) == scripts]
            if words and "SLURM_JOB_ID" not in process.environ():
                rule = os.path.basename(words[0]).split(".", 1)[-1].removesuffix(".py")
                found.append(Job(str(process.pid), "RUNNING", rule))
        except psutil.Error:
            continue
    return found


def end(jobs: list[Job]) -> None:
    """End processes as a cancelled job ends: it removes what it has not finished."""
    import psutil

    processes = []
    for job in jobs:
        try:
            processes.append(psutil.Process(int(job.id)))
            processes[-1].terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=60)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)


def slurm(*command: str) -> str:
    """What a program of SLURM prints.

    Raises:
        InputError: It is not there, or failed.
    """
    program = shutil.which(command[0])
    try:
        done = subprocess.run([program or command[0], *command[1:]], capture_output=True, text=True, timeout=60)
        problem = done.stderr.strip() if done.returncode else ""
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        problem = "it is not installed, or not on PATH" if program is None else str(error)
    if problem:
        raise InputError(
            "SLURM cannot be asked for the jobs of the last run",
            where=" ".join(command),
            found=problem,
            expected="the queue of a cluster: the last run sent its jobs there",
            fix="run this on the machine that the last run was started on, or once SLURM answers again",
        )
    return done.stdout


def queue(folder: Path) -> list[Job]:
    """Jobs of SLURM that this user has queued or running in a folder, but for the one that this runs in."""
    return list(_queued("--me", folder=folder))


def _queued(*options: str, folder: Path | None = None) -> Iterator[Job]:
    for line in slurm("squeue", "--noheader", f"--format={QUEUE}", *options).splitlines():
        number, state, name, comment, place = line.strip().split("|", 4)
        here = folder is None or os.path.realpath(place) == str(folder)
        if here and number != os.environ.get("SLURM_JOB_ID"):
            yield Job(number, state, name if comment in ("", "(null)") else f"{name} {comment}")


def of_runs(jobs: list[Job]) -> list[Job]:
    """Those of SLURM's jobs that Snakemake has submitted."""
    return [job for job in jobs if RUN_ID.fullmatch(job.name.split()[0])]


def may_run_elsewhere(run: Run) -> bool:
    """Whether a run that was killed, or goes on, may be at work on a machine that cannot be looked at from here."""
    if run.host == platform.node():
        return False
    node = run.host.split(".")[0]
    if not (run.on_cluster and slurm("sinfo", "--noheader", f"--nodes={node}", "--format=%n").strip()):
        return True
    others = list(_queued("--me", f"--nodelist={node}"))
    return len(of_runs(others)) < len(others)  # on a node, it was a job itself
