"""The workflow in a folder of its own, and what its dry-runs say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PLAN = """
import json, pathlib, sys
from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi

target, *files = sys.argv[1:]
with SnakemakeApi(OutputSettings(dryrun=True)) as api:
    config = ConfigSettings(configfiles=[pathlib.Path(file) for file in files])
    workflow = api.workflow(ResourceSettings(), config_settings=config, snakefile=pathlib.Path("Snakefile"))
    workflow.dag(DAGSettings(targets={target})).execute_workflow(executor="dryrun")
    jobs = [job for job in workflow._workflow.dag.jobs if job.conda_env_spec]
    made = {str(job.output[0]): pathlib.Path(str(job.conda_env_spec.file)).stem for job in jobs}
print("environments:", json.dumps(made))
"""
PARTS = ("Snakefile", "workflow", "scripts", "envs", "config.yaml", "demo", "profiles", "slurm", "presets")


class Project:
    """The workflow's files, linked into an empty folder, so that results never land in the repository."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in PARTS:
            (folder / name).symlink_to(REPOSITORY / name)

    def snakemake(self, *arguments: str, fails: bool = False) -> str:
        """Run Snakemake here; give what it wrote."""
        return self.python("-m", "snakemake", *arguments, fails=fails)

    def python(self, *arguments: str, fails: bool = False) -> str:
        """Run Python here; give what it wrote."""
        command = [sys.executable, *arguments]
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / ".cache"), "COLUMNS": "200"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=3000)
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return output

    def dry_run(self, target: str = "all", *arguments: str, fails: bool = False) -> str:
        return self.snakemake(target, "-n", *arguments, fails=fails)

    def environments(self, target: str, *configfiles: str) -> dict[str, str]:
        """Conda environments of the planned jobs, by first output; asked in Python, as the command needs conda."""
        return json.loads(self.python("-c", PLAN, target, *configfiles).split("environments: ")[1].splitlines()[0])


def job_counts(output: str) -> dict[str, int]:
    """The table `Job stats` of a dry-run."""
    table = output.split("Job stats:")[1].split("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}


def jobs(output: str) -> list[dict[str, str]]:
    """The jobs of a dry-run: rule, wildcards and resources, each as text."""
    found = []
    for text in re.split(r"\n\n|\n(?=\[)", output):
        if rule := re.search(r"^(?:local)?rule (\w+):$", text, re.MULTILINE):
            fields = dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE))
            found.append({"rule": rule[1], **fields})
    return found
