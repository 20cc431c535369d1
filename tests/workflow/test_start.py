"""The configuration that `init` writes is planned as it is."""

import pytest

from cellcascade.cli import main
from tests.unit.data.layouts.writing import folders, scenes, seg_npy
from tests.workflow.dry_run import job_counts, jobs

FOLDER = "Zellen {ä} '1'"


@pytest.mark.parametrize("writer", [folders("images/f {}.TIF", "masks/f {}.png"), seg_npy])
def test_what_init_writes_is_planned_without_an_edit(project, monkeypatch, writer):
    monkeypatch.chdir(project.folder)
    writer(project.folder / FOLDER, *scenes(6))
    assert main(["init", FOLDER, "--out", "mine.yaml"]) == 0
    output = project.dry_run("results/mine/synthetic/", "--configfile", "mine.yaml", "--cores", "2")
    planned = job_counts(output)
    assert planned["crops"] == 1 and planned["masks"] == 2 and planned["population"] == 2 and planned["synthetic"] == 1
    assert {job["wildcards"].split(",")[0] for job in jobs(output)} == {"dataset=mine"}
    pages = job_counts(project.dry_run("results/mine/report/index.html", "--configfile", "mine.yaml"))
    assert pages["test_crops"] == 1 and "train_cellpose" not in pages
