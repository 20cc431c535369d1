"""Images and masks of one's own, from the folder to crops and to synthetic images."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cellcascade.data.ngff import read_image
from tests.real_data import planes, stacks
from tests.unit.data.layouts.writing import folders, ome_zarr, zipped
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


def examples() -> list[list[str]]:
    """The commands of each example of docs/your-data.md."""
    text = (REPOSITORY / "docs/your-data.md").read_text().split("## Examples")[1]
    return [block.strip().splitlines() for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]


def write_data(folder: Path) -> None:
    """What the examples start from, small: planes in two folders, a stack as OME-Zarr, an archive of the challenge."""
    folders("images/{}.tif", "masks/{}.tif")(folder / "wells", *planes(3, edge=160))
    ome_zarr("0.5")(folder / "zarr", *(arrays[:1] for arrays in stacks()))
    (folder / "zarr/img0.ome.zarr").rename(folder / "embryo.ome.zarr")
    images, labels = planes(4, edge=160)
    for sequence, part in (("01", slice(3)), ("02", slice(3, 4))):
        names = (f"{sequence}/t{{:03d}}.tif", f"{sequence}_GT/SEG/man_seg{{:03d}}.tif")
        folders(*names)(folder / "archive/Fluo-N2DH-GOWT1", images[part], labels[part])
    shutil.make_archive(str(folder / "Fluo-N2DH-GOWT1"), "zip", folder / "archive")


def make_small(path: Path) -> None:
    """Few cells, images and steps in place of what `init` wrote; all else as it wrote it."""
    small = yaml.safe_load((REPOSITORY / "tests/e2e/tiny.yaml").read_text())
    made = yaml.safe_load(path.read_text())
    (entry,) = made["datasets"].values()
    entry |= {"cells": 8, "images": 2}
    defaults = {**small["defaults"], "evaluation": {"regimes": []}}
    for model in ("mask_ddpm", "texture"):
        few = {"steps": 4, "batch_size": 2, "check_every": 4, "checkpoint_every": 4}
        defaults[model] = {"tuning": few, "sampling_steps": 6}
    made |= {"max_invalid_fraction": 0.5, "defaults": defaults, "multiview": {"sampling_steps": 10}}
    path.write_text(yaml.safe_dump(made))


@pytest.mark.parametrize("commands", examples(), ids=["pairs of planes", "an OME-Zarr of stacks", "CTC"])
def test_an_example_of_the_document_makes_images(tmp_path, monkeypatch, commands):
    monkeypatch.setenv("HOME", str(tmp_path))
    project = Project(tmp_path)
    write_data(tmp_path)
    for command in commands:
        program, *words = [word.replace("~", str(tmp_path)) for word in shlex.split(command)]
        options = dict(zip(words, words[1:]))
        if program == "snakemake":
            project.snakemake(*words)
            continue
        config = Path(options["--out"]) if words[0] == "init" else Path(options["--out"], "mine.yaml")
        cellcascade(project, "init", words[1], "--out", str(config), *words[words.index(options["--out"]) + 1 :])
        make_small(tmp_path / config)
        if words[0] == "fit":
            said = cellcascade(project, *words)
            assert (
                f"{config} is used as it is" in said and "images with labels:     embryo/results/mine/synthet" in said
            )
            assert "Nothing to be done" in cellcascade(project, *words), "the same command goes on with what is there"
    made = list(tmp_path.glob("**/results/*/synthetic/img-00001.ome.zarr"))
    assert len(made) == 1
    opened = read_image(made[0])
    assert opened.image[0].shape in ((160, 160), (51, 120, 122)) and opened.labels[0].max().compute() > 0
    if "report" in commands[-1]:
        assert (tmp_path / "results/gowt1/report/index.html").is_file()
