"""Images and masks of one's own on a real cluster."""

import subprocess
import sys
from pathlib import Path

import yaml

from cellcascade.data.ngff import read_image
from tests.real_data import planes
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Run
from tests.slurm.evidence import states
from tests.unit.data.layouts.writing import folders
from tests.workflow.dry_run import REPOSITORY

IMAGES = "results/mine/synthetic/"
OWN = ("--configfile", "mine.yaml")  # in place of the demo's


def command(run: Run, *arguments: str) -> str:
    """Give a command of ours in the folder of a run, on the login node."""
    done = subprocess.run(
        [sys.executable, "-m", "cellcascade", *arguments],
        cwd=run.folder,
        env=run.environment | run.cluster.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_small(path: Path) -> None:
    """The small models of the other tests in place of what `init` wrote; all else as it wrote it."""
    tiny = yaml.safe_load((REPOSITORY / "tests/e2e/tiny.yaml").read_text())
    made = yaml.safe_load(path.read_text())
    made["datasets"]["mine"] |= {"cells": 8, "images": 2, "mask_ddpm": {"base": "scratch"}}
    made["datasets"]["mine"] |= {"texture": {"base": "scratch"}, "test_share": 0}
    defaults = {**tiny["defaults"], "evaluation": {"regimes": []}}
    made |= {"max_invalid_fraction": 0.5, "device": "cpu", "defaults": defaults, "shards": {"cells": 8}}
    path.write_text(yaml.safe_dump(made))


def test_a_data_set_of_ones_own_is_made(cluster: Cluster, tmp_path):
    run = Run(tmp_path, cluster)
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Zellen ä", *planes(3, edge=160))
    command(run, "init", "Zellen ä", "--out", "mine.yaml")
    make_small(tmp_path / "mine.yaml")
    run.run(IMAGES, options=OWN)
    assert set(states(run)) == {"COMPLETED"}
    assert read_image(tmp_path / IMAGES / "img-00001.ome.zarr").image[0].shape == (160, 160)
