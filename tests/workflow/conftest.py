"""Projects to plan in."""

from pathlib import Path

import pytest

from tests.workflow.dry_run import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture(scope="session")
def demo_dry_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a dry-run of the demo from nothing says."""
    return Project(tmp_path_factory.mktemp("demo")).dry_run("all", "--configfile", "demo/config.yaml")
