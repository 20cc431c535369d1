"""napari itself opens synthetic images by the plugin, on a screen, beside the tested versions of all other packages."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cellcascade.data.synthetic import open_synthetic
from cellcascade.population.collect import collect_images
from tests.environments import WHEN_ASKED, python_with, run
from tests.unit.population.scenes import make, write_inputs

LOCK = Path(__file__).parents[3] / "requirements.lock"
SCREEN = shutil.which("xvfb-run")
SHAPES = {2: (120, 140), 3: (8, 96, 112)}

pytestmark = [
    WHEN_ASKED,
    pytest.mark.skipif(SCREEN is None, reason="needs Xvfb and what Qt draws with: CONTRIBUTING.md says which packages"),
]


@pytest.fixture(scope="module")
def python(wheel) -> Path:
    """Python with the package as it is now, as a wheel with its extra, and all else as requirements.lock says."""
    found = python_with("napari", ["-r", str(LOCK), f"{wheel}[napari]", "napari-ome-zarr"])
    run(found, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel, cwd=wheel.parent)
    assert "No broken requirements" in run(found, "-m", "pip", "check", cwd=wheel.parent)
    return found


def test_the_plugin_shows_a_folder_and_an_image_of_it(tmp_path, python, ndim):
    scene = write_inputs(tmp_path, ndim=ndim, shape=SHAPES[ndim])
    folder = tmp_path / "synthetic"
    record = {"dataset": "test", "seed": 3, "config": {"images": 3}}
    shard = make(tmp_path / "shard", scene, images=(0, 3))
    collect_images(population=[shard], sources=[], record=record, folder=folder)
    source = open_synthetic(folder)
    pixels = {name: np.stack([getattr(image, name)() for image in source.images]) for name in ("counts", "labels")}
    reference, picture = tmp_path / "reference.npz", tmp_path / "canvas.png"
    np.savez(reference, size_um=source.voxel_size_um, **pixels)
    # The settings of napari are not those of who runs the tests.
    elsewhere = {"NAPARI_CONFIG": str(tmp_path / "napari.yaml"), "HOME": str(tmp_path)}
    script = Path(__file__).with_name("in_napari.py")
    run(SCREEN, "-a", python, script, folder, reference, picture, cwd=tmp_path, **elsewhere)
    assert picture.stat().st_size > 5000
