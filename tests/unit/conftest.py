"""What several tests share: small crops, the package as a wheel, and its log as it was before each test."""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cellcascade.data.stores import CROPS
from tests.environments import run
from tests.stores import write_store

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def crops(tmp_path_factory):
    """A crops store with 24 discs of 32 x 32 pixels."""
    path = tmp_path_factory.mktemp("crops") / "crops.zarr.zip"
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    radius = generator.uniform(6, 11, 24)[:, None, None]
    mask = (np.hypot(x, y) < radius).astype(np.uint8)
    brightness = generator.uniform(60, 160, 24).astype(np.float32)
    image = generator.poisson(10 + mask * brightness[:, None, None]).astype(np.uint16)
    arrays = {"image": image, "mask": mask, "label": np.arange(1, 25), "frame": np.ones(24), "z": -np.ones(24)}
    arrays |= {
        "widest": np.ones(24),
        "area_ratio": np.ones(24),
        "brightness": brightness,
        "background": 10 * np.ones(24),
    }
    return write_store(CROPS, path, arrays, dataset="discs", window=(5, 220), frames=(1,))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The package as a wheel, built from a copy: building leaves files beside the sources."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", folder, cwd=folder)
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(autouse=True)
def log_as_before():
    """Commands and jobs that run in the tests' process set up the package's log: later tests do not see it."""
    logger = logging.getLogger("cellcascade")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
