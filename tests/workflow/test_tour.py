"""The tour of docs/, run as a script on images in 2D and in 3D."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.synthetic import scattered, write_set
from tests.workflow.dry_run import REPOSITORY


@pytest.mark.parametrize("shape", [(80, 96), (10, 56, 64)])
def test_the_tour_opens_a_set_of_images(tmp_path, shape):
    pairs = [scattered(shape, 12, seed) for seed in range(3)]
    write_set(tmp_path / "results/nuclei2d/synthetic", pairs)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(REPOSITORY / "docs/tour.py")],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    whole = "x".join(["3", *map(str, shape)]).replace("x", ", ")
    assert f"dask.array<stack, shape=({whole})" in done.stdout and "mean inside of cells 26" in done.stdout
    assert Image.open(tmp_path / "tour.png").size == (1000, 400)
