"""Images and masks of one's own, from the folder to crops and to synthetic images."""

import subprocess
import sys

import pandas as pd
import yaml

from cellcascade.data.ngff import read_image
from tests.real_data import planes
from tests.unit.data.layouts.writing import folders, zipped
from tests.workflow.dry_run import REPOSITORY, Project


def cellcascade(project: Project, *arguments: str) -> str:
    command = [sys.executable, "-m", "cellcascade", *arguments]
    done = subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_archive_of_pairs_becomes_crops_in_two_commands(tmp_path):
    project = Project(tmp_path)
    zipped(folders("my images/field {}.TIF", "my masks/field {}_mask.png"), "Data")(
        tmp_path / "Zellen {1} ä", *planes(3, edge=160)
    )
    cellcascade(project, "init", "Zellen {1} ä.zip", "--out", "mine.yaml")
    project.snakemake("results/mine/crops.csv", "--configfile", "mine.yaml", "--cores", "1")
    table = pd.read_csv(tmp_path / "results/mine/crops.csv")
    assert table.frame.nunique() == 2, "one of three frames is kept for tests"
    assert (len(table), table.kept.sum()) == (19, 10)


def test_fit_makes_images_and_goes_on_with_what_is_there(tmp_path):
    project = Project(tmp_path)
    folders("x{}.tif", "x{}_masks.tif")(tmp_path / "Data", *planes(3, edge=160))
    cellcascade(project, "init", "Data", "--out", "out/mine.yaml")
    small = yaml.safe_load((REPOSITORY / "tests/e2e/tiny.yaml").read_text())["defaults"]
    small |= {"evaluation": {"regimes": []}}
    made = yaml.safe_load((tmp_path / "out/mine.yaml").read_text())
    made["datasets"]["mine"] |= {"cells": 8, "images": 2, "crops": {"size": 64}}
    made |= {"max_invalid_fraction": 0.5, "defaults": small}
    (tmp_path / "out/mine.yaml").write_text(yaml.safe_dump(made))
    said = cellcascade(project, "fit", "Data", "--out", "out", "--cores", "2")
    assert "out/mine.yaml is used as it is" in said and "images with labels:     out/results/mine/synthetic" in said
    assert read_image(tmp_path / "out/results/mine/synthetic/img-00001.ome.zarr").image[0].shape == (160, 160)
    assert (tmp_path / "out/results/mine/report/index.html").is_file() and not (tmp_path / "results").exists()
    assert "Nothing to be done" in cellcascade(project, "fit", "Data", "--out", "out", "--cores", "2")
