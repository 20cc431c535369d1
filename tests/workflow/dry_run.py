"""The workflow in a folder of its own, and what its dry-runs say."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "scripts", "envs", "config.yaml", "demo", "profiles", "slurm", "presets")

# A dry-run is planned by a fork of a process that has imported Snakemake and what the rules import, once for all tests:
# a third of the time of a new Python, and no state of Snakemake's modules gets from one run to the next.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.workflow.planner"])


class Project:
    """The workflow's files, linked into an empty folder, so that results never land in the repository."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in PARTS:
            (folder / name).symlink_to(REPOSITORY / name)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the processes that run here."""
        return {**os.environ, "XDG_CACHE_HOME": str(self.folder / ".cache"), "COLUMNS": "200"}

    def snakemake(self, *arguments: str, fails: bool = False) -> str:
        """Run Snakemake here, as a user does; give what it wrote."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=3000
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return output

    def dry_run(self, *arguments: str, fails: bool = False) -> str:
        """Plan these targets with these options; give what the command `snakemake -n` writes."""
        from tests.workflow import planner

        return self._forked(planner.snakemake, [*arguments, "-n"], fails=fails)

    def environments(self, target: str, *configfiles: str) -> dict[str, str]:
        """Conda environments of the planned jobs, by first output; asked in Python, as the command needs conda."""
        from tests.workflow import planner

        output = self._forked(planner.environments, target, configfiles)
        return json.loads(output.split("environments: ")[1].splitlines()[0])

    def _forked(self, call: Callable, *arguments, fails: bool = False) -> str:
        """Call a function of the planner in a fork of the server; give what it wrote."""
        from tests.workflow import planner

        with tempfile.NamedTemporaryFile("r", prefix="planned-") as log:
            place = planner.Place(str(self.folder), self.environment, log.name)
            process = SERVER.Process(target=planner.run, args=(place, call, *arguments))
            process.start()
            process.join(600)
            output = log.read()
        assert process.exitcode is not None, f"no end after ten minutes: {arguments}\n{output}"
        assert (process.exitcode != 0) == fails, output
        return output


def job_counts(output: str) -> dict[str, int]:
    """The table `Job stats` of a dry-run."""
    table = output.split("Job stats:")[1].split("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}


def jobs(output: str) -> list[dict[str, str]]:
    """The jobs of a dry-run, sorted, as Snakemake's order varies: rule, wildcards and resources, each as text."""
    found = []
    for text in re.split(r"\n\n|\n(?=\[)", output):
        if rule := re.search(r"^(?:local)?rule (\w+):$", text, re.MULTILINE):
            fields = dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE))
            found.append({"rule": rule[1], **fields})
    return sorted(found, key=lambda job: (job["rule"], job.get("wildcards", "")))
