"""Contents of the data count: neither dates nor places remake anything, and a changed label does."""

import os
import shutil
from pathlib import Path

import pytest
import tifffile

from tests.workflow.dry_run import REPOSITORY, Project, job_counts

TARGET = "results/embryo3d/background.zarr.zip"
TESTS = "results/embryo3d/check/tests.csv"
LABELS = "MouseEmbryo/01_ST/SEG/man_seg000.tif"


def plan(project: Project, root: str) -> str:
    return project.dry_run(TARGET, *arguments(root))


def arguments(root: str) -> tuple[str, ...]:
    return ("--configfile", "demo/config.yaml", "--config", f"data_root={root}")


@pytest.fixture
def made(project) -> Project:
    """A project whose background was made, as far as Snakemake knows, from a copy of the demo's data."""
    shutil.copytree(REPOSITORY / "demo/data/MouseEmbryo", project.folder / "mine/MouseEmbryo")
    for name in ("check/findings.csv", "check/tests.csv", "crops.zarr.zip", "crops.csv", "background.zarr.zip"):
        path = project.folder / "results/embryo3d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    project.snakemake(TARGET, TESTS, "--cores", "1", "--touch", "--forceall", *arguments("mine"))
    return project


def relabel(path: Path, date: float) -> None:
    labels = tifffile.imread(path)
    labels[labels == labels.max()] = 0
    path.unlink()
    tifffile.imwrite(path, labels, photometric="minisblack")
    os.utime(path, (date, date))


def test_contents_count_dates_and_places_do_not(made):
    assert "Nothing to be done" in plan(made, "mine")
    for path in (made.folder / "mine").rglob("*.tif"):
        path.touch()
    assert "Nothing to be done" in plan(made, "mine")
    shutil.move(made.folder / "mine", made.folder / "elsewhere")
    assert "Nothing to be done" in plan(made, "elsewhere")
    relabel(made.folder / "elsewhere" / LABELS, date=1e9)
    assert set(job_counts(plan(made, "elsewhere"))) == {"check", "crops", "background", "total"}


def test_other_test_frames_are_looked_at_again_and_nothing_that_was_learned_is_remade(made):
    assert "Nothing to be done" in made.dry_run(TESTS, TARGET, *arguments("mine"))
    relabel(made.folder / "mine" / LABELS.replace("01", "02", 1), date=1e9)
    assert set(job_counts(made.dry_run(TESTS, TARGET, *arguments("mine")))) == {"check_tests", "total"}


def test_what_frames_are_read_as_is_a_reason_to_remake(made):
    (made.folder / "more.yaml").write_text("datasets: {embryo3d: {split_labels: true}}")
    planned = made.dry_run(TARGET, "--configfile", "demo/config.yaml", "more.yaml", "--config", "data_root=mine")
    assert set(job_counts(planned)) == {"check", "crops", "background", "total"}
