"""What a fork does to plan a workflow; importing this imports all that planning needs, and runs nothing."""

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from snakemake import cli
from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi

RULES = Path(__file__).parents[2] / "workflow/rules"
LATE = (
    "snakemake.report",
    "snakemake.notebook",
    "snakemake.executors.dryrun",
    "snakemake.scheduling.greedy",
)  # where Snakemake needs them


class Place(NamedTuple):
    """Where a fork runs, with which variables, and where it writes."""

    folder: str
    environment: dict[str, str]
    log: str


def import_all() -> None:
    """Import what the command, its plugins and the rules import."""
    cli.get_argument_parser()
    texts = [path.read_text() for path in RULES.glob("*.smk")]
    modules = re.findall(r"^from (cellcascade\S*) import", "".join(texts), re.MULTILINE)
    for module in (*LATE, *sorted(set(modules))):
        importlib.import_module(module)


def run(place: Place, call: Callable, *arguments) -> None:
    """Call a function in a place, with all output to its log."""
    log = os.open(place.log, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(place.folder)
    os.environ.clear()
    os.environ.update(place.environment)
    call(*arguments)


def snakemake(arguments: list[str]) -> None:
    """The command `snakemake`; ends the process as the command does."""
    sys.argv = ["snakemake", *arguments]
    cli.main(arguments)


def environments(target: str, configfiles: tuple[str, ...]) -> None:
    """Plan a target and print the conda environments of its jobs, by first output."""
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        config = ConfigSettings(configfiles=[Path(file) for file in configfiles])
        workflow = api.workflow(ResourceSettings(), config_settings=config, snakefile=Path("Snakefile"))
        workflow.dag(DAGSettings(targets={target})).execute_workflow(executor="dryrun")
        jobs = [job for job in workflow._workflow.dag.jobs if job.conda_env_spec]
        made = {str(job.output[0]): Path(str(job.conda_env_spec.file)).stem for job in jobs}
    print("environments:", json.dumps(made))


import_all()
