"""Real cells in the layouts that people have them in: looked at, checked and planned without editing a file."""

import pytest
import yaml

from cellcascade.cli import main
from tests.real_data import planes, stacks
from tests.unit.data.layouts.writing import (
    folders,
    hyperstack,
    nnunet,
    ome_zarr,
    seg_npy,
    stardist,
    zipped,
)
from tests.workflow.dry_run import job_counts, jobs

FOLDER = "Zellen {ä} '1'"
LAYOUTS = {
    "pairs in folders": folders("images/f {}.TIF", "masks/f {}.png"),
    "pairs by suffix": folders("well{}.tif", "well{}_masks.tif"),
    "ctc": folders("01/t{:03d}.tif", "01_GT/SEG/man_seg{:03d}.tif"),
    "_seg.npy": seg_npy,
    "StarDist": stardist,
    "nnU-Net": nnunet,
    "OME-Zarr": ome_zarr("0.5"),
    "ImageJ": hyperstack,
    "zip": zipped(folders("images/{}.tif", "masks/{}.tif"), "Data/Data"),
}
STACKS = {name: LAYOUTS[name] for name in ("StarDist", "OME-Zarr", "ImageJ")}


def started(project, monkeypatch, capsys, *, verdict: str, tests: bool) -> dict:
    """Give the three commands one after the other, the last one as a plan; gives the entry that `init` wrote."""
    monkeypatch.chdir(project.folder)
    source = FOLDER if (project.folder / FOLDER).is_dir() else f"{FOLDER}.zip"
    assert main(["init", source, "--out", "mine.yaml"]) == 0
    said = capsys.readouterr().out
    assert "snakemake results/mine/synthetic/ --configfile mine.yaml --cores" in said
    assert main(["check", "mine.yaml"]) == 0, capsys.readouterr()
    checked = capsys.readouterr().out
    assert f"mine: {verdict}." in checked and "contrast of the masks  1." in checked and "train_texture" in checked
    targets = ("results/mine/synthetic/", "results/mine/report/index.html")
    output = project.dry_run(*targets, "--configfile", "mine.yaml", "--cores", "2")
    planned = job_counts(output)
    assert {"check", "crops", "train_texture", "population", "synthetic"} <= planned.keys()
    assert {job["wildcards"].split(",")[0] for job in jobs(output)} <= {"dataset=mine"}
    assert planned.get("test_crops", 0) == tests and "train_cellpose" not in planned
    return yaml.safe_load((project.folder / "mine.yaml").read_text())["datasets"]["mine"]


@pytest.mark.parametrize("writer", LAYOUTS.values(), ids=LAYOUTS)
def test_planes_from_a_folder_to_a_plan(project, monkeypatch, capsys, writer):
    writer(project.folder / FOLDER, *planes(4))
    data = started(project, monkeypatch, capsys, verdict="Sound", tests=True)
    assert len(data["voxel_size_um"]) == 2 and data["crops"]["size"] == 64
    assert data.get("channel") == (1 if writer in (nnunet, hyperstack, LAYOUTS["OME-Zarr"]) else None)


@pytest.mark.parametrize("writer", STACKS.values(), ids=STACKS)
def test_stacks_from_a_folder_to_a_plan(project, monkeypatch, capsys, writer):
    writer(project.folder / FOLDER, *stacks())
    data = started(project, monkeypatch, capsys, verdict="1 warning", tests=writer is stardist)  # 24 cells are few
    assert len(data["voxel_size_um"]) == 3 and data["crops"]["slices_per_cell"] > 1
