"""The whole cascade, run once at tiny scale on the demo's real cells."""

from pathlib import Path

import pytest

from tests.workflow.dry_run import Project

# One job per core, as `make demo` does it.
CONFIGS = ("--cores", "2", "--resources", "gpu=2", "--configfile", "demo/config.yaml", "tiny.yaml")


class Cascade(Project):
    """A project with the tiny configuration on top of the demo's."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        (folder / "tiny.yaml").symlink_to(Path(__file__).with_name("tiny.yaml"))

    def run(self, *targets: str, fails: bool = False) -> str:
        return self.snakemake(*targets, *CONFIGS, fails=fails)


@pytest.fixture(scope="session")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    """A project in which everything was made."""
    project = Cascade(tmp_path_factory.mktemp("cascade"))
    project.run("all")
    return project
