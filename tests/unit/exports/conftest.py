"""Small sets of synthetic images that all exports are made from."""

from pathlib import Path

import numpy as np
import pytest

from cellcascade.data.synthetic import SyntheticSet, open_synthetic
from cellcascade.exports.base import Exported
from cellcascade.exports.registry import find_format
from cellcascade.exports.stage import export
from tests.synthetic import scattered, write_set


@pytest.fixture(scope="session")
def flat(tmp_path_factory) -> SyntheticSet:
    """Six 2D images: the first shows three cells, the second none, the others many that touch."""
    pairs = [scattered((96, 112), cells, seed) for seed, cells in enumerate((3, 0, 20, 20, 20, 20))]
    return open_synthetic(write_set(tmp_path_factory.mktemp("flat") / "synthetic", pairs))


@pytest.fixture(scope="session")
def stacks(tmp_path_factory) -> SyntheticSet:
    """Three stacks, slices twice as far apart as pixels."""
    pairs = [scattered((10, 56, 64), 16, seed) for seed in range(3)]
    return open_synthetic(write_set(tmp_path_factory.mktemp("stacks") / "synthetic", pairs))


@pytest.fixture(scope="session", params=(2, 3))
def twinned(request, tmp_path_factory) -> SyntheticSet:
    """Two images or stacks with their twins without noise."""
    shape = (96, 112) if request.param == 2 else (10, 56, 64)
    pairs = [scattered(shape, 12, seed) for seed in range(2)]
    return open_synthetic(write_set(tmp_path_factory.mktemp("twinned") / "synthetic", pairs, twins=True))


@pytest.fixture
def exported(tmp_path):
    """Function that exports a set, with some settings; gives the folder and what was said of it."""

    def run(form: str, images: SyntheticSet, /, **settings) -> tuple[Path, Exported]:
        folder = tmp_path / form
        return folder, export(images.folder, find_format(form, settings), folder)

    return run


def labels_of(source: SyntheticSet) -> dict[str, np.ndarray]:
    """The labels of all images by their names."""
    return {image.name: image.labels() for image in source.images}
