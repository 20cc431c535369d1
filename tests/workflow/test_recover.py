"""`cellcascade recover` in a folder where Snakemake was really killed, with rules that take no time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellcascade.core import runs
from tests.slurm.cluster import until
from tests.slurm.conftest import hear_interrupts
from tests.workflow.dry_run import Project

SNAKEFILE = """
rule all:
    input:
        "results/second",

rule first:
    output:
        "results/first",
    shell:
        "echo 1 > {output}"

rule second:
    input:
        "results/first",
    output:
        "results/second",
    script:
        "second.py"
"""
# Writes as all scripts here do, and waits in the middle until it is told to go on.
SCRIPT = """
import time
from pathlib import Path
from cellcascade.core.files import atomic_path

with atomic_path(snakemake.output[0]) as scratch:
    scratch.write_text("2")
    Path("waits").touch()
    while not Path("go").exists():
        time.sleep(0.05)
"""


class Killable(Project):
    """A project of two small rules; the second waits."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "second.py").write_text(SCRIPT)

    def start(self, *options: str) -> subprocess.Popen:
        """Run Snakemake until the second rule's job waits."""
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *options]
        with open(self.folder / "output", "wb") as log:
            head = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=hear_interrupts,
            )
        until((self.folder / "waits").exists, "the second rule")
        return head

    def kill(self, *options: str) -> None:
        """Run Snakemake, and kill it while the second rule is at work; its job lives on."""
        head = self.start(*options)
        head.kill()
        head.wait(60)

    def recover(self, *options: str, fails: bool = False) -> str:
        """What the command says."""
        command = [sys.executable, "-m", "cellcascade", "recover", *options]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def scratch(self) -> list[Path]:
        """Hidden folders beside the outputs."""
        return list((self.folder / "results").glob(".*"))


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Killable]:
    project = Killable(tmp_path)
    yield project
    runs.end(runs.orphans(tmp_path))


def test_a_killed_run_is_described_recovered_and_goes_on(killable):
    killable.kill()
    (orphan,) = runs.orphans(killable.folder)
    assert "Directory cannot be locked" in killable.snakemake("--cores", "1", fails=True)

    looked = killable.recover("--dry-run", "--cancel")
    assert "was killed: 1 of 3 steps (33%) done" in looked and f"    {orphan.id} RUNNING second\n" in looked
    assert "would be cancelled" in looked and "would be unlocked" in looked and "would be removed" in looked
    assert "Files it was making, which the next run makes: 1\n    results/second\n" in looked
    assert runs.is_locked(killable.folder) and len(killable.scratch()) == 1

    done = killable.recover("--cancel")
    assert "cancelled" in done and "unlocked" in done and "removed" in done and "would" not in done
    assert done.endswith("Go on with:\n    snakemake --cores 1\n")
    assert not runs.is_locked(killable.folder) and not runs.orphans(killable.folder) and not killable.scratch()

    (killable.folder / "go").touch()
    killable.snakemake("--cores", "1")
    assert (killable.folder / "results/second").read_text() == "2"
    assert killable.recover().endswith("Nothing is left to do.\n")


def test_jobs_that_go_on_are_left_alone_unless_asked(killable):
    killable.kill()
    said = killable.recover()
    assert "end them first: cellcascade recover --cancel" in said and "left there, as jobs may be using them" in said
    assert len(killable.scratch()) == len(runs.orphans(killable.folder)) == 1
    (killable.folder / "go").touch()
    until(lambda: not runs.orphans(killable.folder), "the orphan ends")
    assert (killable.folder / "results/second").read_text() == "2"
    assert "results/second (there, made anew)" in killable.recover()
    killable.snakemake("--cores", "1", "--rerun-incomplete")


def test_a_run_at_work_is_not_touched_and_one_that_was_stopped_needs_nothing(killable):
    head = killable.start()
    said = killable.recover("--cancel", fails=True)
    assert f"Snakemake as process {head.pid}" in said and "nothing was touched" in said
    assert runs.is_locked(killable.folder) and len(runs.heads(killable.folder)) == 1
    os.killpg(head.pid, signal.SIGINT)  # as Ctrl-C does
    head.wait(60)
    said = killable.recover()
    assert "ended by itself, or was stopped: 1 of 3 steps" in said and "locked" not in said and "Jobs" not in said
    assert said.endswith("Go on with:\n    snakemake --cores 1\n")


def test_a_run_of_another_machine_is_not_touched(killable):
    killable.kill()
    (log,) = (killable.folder / runs.LOGS).glob("*.log")
    log.write_text(log.read_text().replace(f"Host: {os.uname().nodename}", "Host: login2"))
    said = killable.recover("--cancel", fails=True)
    assert "log in to login2 and run it there" in said and runs.orphans(killable.folder)
    assert runs.is_locked(killable.folder)


def test_a_lock_that_cannot_be_removed_is_reported(killable):
    killable.kill()
    (killable.folder / "Snakefile").write_text('raise WorkflowError("seed: must be a number")\n')
    said = killable.recover("--cancel", fails=True)
    assert "Snakemake could not unlock the folder" in said and "seed: must be a number" in said


def test_folders_without_a_run_are_told_apart(tmp_path, killable):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "There is no run to recover" in killable.recover(str(empty), fails=True)
    assert "No run in" in killable.recover()


def test_a_locked_folder_whose_run_said_nothing_is_not_touched(killable):
    killable.kill("--quiet", "all")
    assert "no description of a run" in killable.recover("--cancel", fails=True)
    assert runs.is_locked(killable.folder) and len(runs.orphans(killable.folder)) == 1
