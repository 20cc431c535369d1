"""What a run asks for, stage by stage: the workflow is planned, and its jobs' own memory and time are summed up.

The times are what the rules ask a scheduler for, several times what a job needs.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PLANNED = "planned: "  # what a plan writes before its stages
LONGEST = 300  # seconds


@dataclass(frozen=True)
class Stage:
    """The jobs of one rule.

    Attributes:
        rule: Its name.
        jobs: Number of jobs that are still to be run.
        mem_mb: Most memory that one asks for.
        minutes: Time that all of them ask for together, at most.
    """

    rule: str
    jobs: int
    mem_mb: int
    minutes: int


def planned_stages(configs: Sequence[Path], folder: Path) -> list[Stage] | None:
    """The stages of `all`, in their order; `None` where the workflow is not here, or cannot be planned.

    Args:
        configs: Configuration files; later ones override earlier ones.
        folder: The folder with the Snakefile.
    """
    if not (folder / "Snakefile").exists():
        return None
    command = [sys.executable, "-m", __name__, *map(str, configs)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return None
    lines = [line.removeprefix(PLANNED) for line in done.stdout.splitlines() if line.startswith(PLANNED)]
    return [Stage(**stage) for stage in json.loads(lines[0])] if lines else None


def _plan(configs: list[str]) -> None:
    """Plan `all` in this process, and print its stages."""
    from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi
    from snakemake.settings.enums import Quietness

    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        settings = ConfigSettings(configfiles=[Path(config) for config in configs])
        workflow = api.workflow(ResourceSettings(), config_settings=settings, snakefile=Path("Snakefile"))
        workflow.dag(DAGSettings(targets={"all"})).execute_workflow(executor="dryrun")
        stages: dict[str, Stage] = {}
        dag = workflow._workflow.dag
        for job in (job for level in dag.toposorted() for job in level if dag.needrun(job)):
            before = stages.get(job.rule.name, Stage(job.rule.name, 0, 0, 0))
            memory, minutes = (int(job.resources.get(name, 0)) for name in ("mem_mb", "runtime"))
            stages[job.rule.name] = Stage(
                before.rule, before.jobs + 1, max(before.mem_mb, memory), before.minutes + minutes
            )
    stages.pop("all", None)
    print(PLANNED + json.dumps([vars(stage) for stage in stages.values()]))


if __name__ == "__main__":
    _plan(sys.argv[1:])
