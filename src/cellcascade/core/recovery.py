"""After a run was interrupted: say in what state it is, do what is needed, and say how to go on."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cellcascade.core import remains, runs
from cellcascade.core.errors import InputError
from cellcascade.core.runs import Job, Run

SHOWN = 20  # files or jobs of one kind
PATIENCE = 120  # seconds in which SLURM ends cancelled jobs
QUOTED = set("[]{}()*?$&;|<>'\"#")  # a command that has these must have had quotes


def recover(folder: Path, *, cancel: bool, dry_run: bool) -> Iterator[str]:
    """Bring a folder into a state in which the next run goes on, or only look.

    Args:
        folder: The folder of the run, in which `.snakemake` is.
        cancel: End jobs that go on without their Snakemake.
        dry_run: Touch nothing.

    Yields:
        Lines that say what was found and done.

    Raises:
        InputError: The folder is no project, a run is at work in it, SLURM cannot be asked, or unlocking failed.
    """
    folder = folder.resolve()
    run = runs.last_run(folder)
    if run is None:
        yield _nothing(folder)
        return
    queue = runs.queue(folder) if run.on_cluster else []
    _check_idle(folder, run, queue)
    yield from _described(run)
    jobs, here = runs.of_runs(queue), runs.orphans(folder)
    yield from _listed("Jobs that go on without it", [f"{job.id} {job.state} {job.name}" for job in jobs + here])
    if jobs or here:
        yield _cancelled(folder, jobs, here, wanted=cancel, dry_run=dry_run)
    yield from _unlocked(folder, run, dry_run=dry_run)
    made = [f"{path}{' (there, made anew)' if (folder / path).exists() else ''}" for path in remains.unfinished(folder)]
    yield from _listed("Files it was making, which the next run makes", made)
    yield from _listed("Trainings that go on, if their settings and crops are the same", _trainings(folder))
    yield from _tidied(folder, safe=cancel or not (jobs or here), dry_run=dry_run)
    if "(100%)" in run.progress:
        yield "Nothing is left to do."
    else:
        yield from _how_to_go_on(run)


def _nothing(folder: Path) -> str:
    if runs.is_locked(folder):
        raise InputError(
            "A run has locked the folder and says nothing of itself, and nothing was touched",
            where=folder / runs.LOGS,
            found="no description of a run: it was started with --quiet all",
            expected="its machine and its command",
            fix="if no Snakemake is at work in this folder, on any machine: snakemake --unlock, and start it again",
        )
    if (folder / "Snakefile").is_file() or (folder / ".snakemake").is_dir():
        return f"No run in {folder} has had anything to do yet: there is nothing to recover."
    raise InputError(
        "There is no run to recover",
        where=folder,
        found="neither a Snakefile nor .snakemake, the folder that Snakemake leaves",
        expected="the folder in which Snakemake was run",
        fix="change to that folder, or give it: cellcascade recover FOLDER",
    )


def _check_idle(folder: Path, run: Run, queue: Sequence[Job]) -> None:
    """Stop where a run is, or may be, at work."""
    expected = "a run that has ended, or was killed"
    if found := runs.heads(folder):
        raise InputError(
            "A run is at work here, and nothing was touched",
            where=folder,
            found=f"Snakemake as process {', '.join(found)}, begun {run.date}",
            expected=expected,
            fix="let it work; or stop it with Ctrl-C in its terminal, and it leaves nothing to recover",
        )
    if drivers := [job for job in queue if job.name.split()[0] == runs.DRIVER]:
        raise InputError(
            "A run is at work here as a job, and nothing was touched",
            where=folder,
            found=", ".join(f"job {job.id} ({job.state})" for job in drivers),
            expected=expected,
            fix=f"let it work, it recovers by itself; or stop it: scancel {drivers[0].id}",
        )
    if not run.ended and runs.is_locked(folder) and runs.may_run_elsewhere(run):
        raise InputError(
            "The last run may still be at work on another machine, and nothing was touched",
            where=folder,
            found=f"a run begun {run.date} on {run.host}, whose processes cannot be seen from here",
            expected=f"this command on {run.host}",
            fix=f"log in to {run.host} and run it there; if {run.host} was restarted since then, or is gone: "
            "snakemake --unlock, and start again",
        )


def _described(run: Run) -> Iterator[str]:
    how = "ended by itself, or was stopped" if run.ended else "was killed"
    yield f"The run of {run.date} on {run.host} {how}: {run.progress or 'no step was done'}"


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{title}: {len(lines)}"
        yield from (f"    {line}" for line in lines[:SHOWN])
        if len(lines) > SHOWN:
            yield f"    … and {len(lines) - SHOWN} more"


def _cancelled(folder: Path, jobs: list[Job], here: list[Job], *, wanted: bool, dry_run: bool) -> str:
    if dry_run or not wanted:
        would = "would be cancelled" if wanted else "the next run does not know of them and makes the same files again"
        return f"    {would}" if wanted else f"    {would}; end them first: cellcascade recover --cancel"
    runs.end(here)
    if jobs:
        runs.slurm("scancel", *(job.id for job in jobs))
    deadline = time.monotonic() + PATIENCE
    while jobs and (left := runs.of_runs(runs.queue(folder))):
        if time.monotonic() > deadline:
            raise InputError(
                "Cancelled jobs are still in the queue",
                where=", ".join(job.id for job in left),
                found=f"{left[0].state} after {PATIENCE} s",
                expected="jobs that end within SLURM's KillWait",
                fix="run this again in a few minutes; a job that stays needs your administrators",
            )
        time.sleep(1)
    return "    cancelled"


def _unlocked(folder: Path, run: Run, *, dry_run: bool) -> Iterator[str]:
    if not runs.is_locked(folder):
        return
    if not dry_run:
        command = [sys.executable, "-m", "snakemake", "--unlock", "--snakefile", run.snakefile]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise InputError(
                "Snakemake could not unlock the folder",
                where=folder,
                found=(done.stdout + done.stderr).strip()[-2000:],
                expected="a lock that a killed run has left",
                fix="correct what it reports (it reads config.yaml), and run this again",
            )
    yield f"The folder was left locked: {'would be unlocked' if dry_run else 'unlocked'}"


def _trainings(folder: Path) -> list[str]:
    found = []
    for point in remains.checkpoints(folder):
        where = f"at step {point.step}" if point.step is not None else "where its checkpoint can be read"
        found.append(f"{point.path.parent.relative_to(folder)} {where} ({point.seconds / 60:.0f} min ago)")
    return found


def _tidied(folder: Path, *, safe: bool, dry_run: bool) -> Iterator[str]:
    if not (left := remains.temporary(folder)):
        return
    yield from _listed("Temporary files of killed jobs", [str(path.relative_to(folder)) for path in left])
    if not safe:
        yield "    left there, as jobs may be using them"
    elif dry_run:
        yield "    would be removed"
    else:
        for path in left:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        yield "    removed"


def _how_to_go_on(run: Run) -> Iterator[str]:
    program, _, given = run.command.partition(" ")
    name = "snakemake" if Path(program).name in ("snakemake", "__main__.py") else program
    quotes = "    (with the quotes that you wrote: the log has lost them)" if QUOTED & set(given) else ""
    yield f"Go on with:\n    {name} {given}{quotes}"
    if run.on_cluster:
        yield f"or, as a job:\n    sbatch slurm/driver.sbatch {given.replace('--profile slurm', '').strip()}{quotes}"
