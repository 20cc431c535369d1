"""One data set, one command: the workflow is run with a configuration, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cellcascade.core import runs
from cellcascade.core.errors import InputError
from cellcascade.core.machine import Machine

REPOSITORY = Path(__file__).parents[3]
MARK = "workflow/rules/common_resources.smk"  # what only this workflow's folder holds


def workflow_folder() -> Path:
    """The folder of the workflow: the current one, or that of the package's sources.

    Raises:
        InputError: Neither is.
    """
    for folder in (Path.cwd(), REPOSITORY):
        if (folder / "Snakefile").is_file() and (folder / MARK).is_file():
            return folder
    raise InputError(
        "The workflow is not here",
        where=Path.cwd(),
        found="no Snakefile of cellcascade",
        expected="the folder of the workflow, in which README.md is",
        fix="change to that folder and give the command again",
    )


def run_workflow(workflow: Path, config: Path, name: str, machine: Machine, formats: Sequence[str] = ()) -> int:
    """Make a data set's images, its page and exports in the current folder; what is there already stays.

    Snakemake writes its progress. A folder that a killed run has locked is unlocked first.

    Args:
        workflow: The folder of the workflow.
        config: The configuration.
        name: Name of the data set.
        machine: What the workflow can count on; without a GPU each core has a job.
        formats: Formats that the images are exported to.

    Returns:
        Snakemake's exit status.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow / "Snakefile")]
    options = ["--cores", str(machine.cores), "--configfile", str(config)]
    if not machine.has_gpu:
        options += ["--resources", f"gpu={machine.cores}"]
    if runs.is_locked(Path()) and not runs.heads(Path()):
        subprocess.run([*command, "--unlock", *options], check=False)
    # Every job starts Python anew: without its bytecode, importing PyTorch takes twice as long.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    targets = [images_of(name), page_of(name), *(export_of(name, format) for format in formats)]
    return subprocess.run([*command, *targets, *options], env=environment, check=False).returncode


def images_of(name: str) -> str:
    """The folder of a data set's synthetic images, below that of the run."""
    return f"results/{name}/synthetic"


def page_of(name: str) -> str:
    """The page that shows a data set, below the folder of the run."""
    return f"results/{name}/report/index.html"


def export_of(name: str, format: str) -> str:
    """The folder of a data set's images in a format of other programs, below the folder of the run."""
    return f"results/{name}/export/{format}"
