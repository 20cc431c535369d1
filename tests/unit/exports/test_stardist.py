import json

import numpy as np
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.exports.stardist import configuration, extents


@pytest.mark.parametrize("ndim", (2, 3))
def test_labels_are_those_of_the_images_and_numbered_without_gaps(flat, stacks, exported, ndim):
    source = flat if ndim == 2 else stacks
    folder, _ = exported("stardist", source)
    for image in source.images:
        (path,) = folder.glob(f"*/masks/{image.name}.tif")
        labels = tifffile.imread(path)
        assert np.array_equal(labels, image.labels())
        assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
        assert np.array_equal(tifffile.imread(path.parents[1] / "images" / path.name), image.counts())
    assert len(list((folder / "val/images").iterdir())) == 1


def test_the_configuration_is_measured_on_the_cells(stacks, exported):
    folder, _ = exported("stardist", stacks)
    facts = json.loads((folder / "stardist.json").read_text())
    measured = np.median([extents(image.labels()) for image in stacks.images], 0)
    assert facts["median_extents_px"] == measured.tolist()
    config = facts["config"]
    assert config["anisotropy"] == (measured.max() / measured).tolist() and config["anisotropy"][0] > 1.5
    assert config["grid"] == [1, 2, 2] and config["n_rays"] == 96 and config["axes"] == "ZYX"
    assert config["train_patch_size"] == [10, 56, 64]


def test_extents_are_the_medians_of_the_boxes():
    labels = np.zeros((20, 30), int)
    labels[2:6, 1:9], labels[8:14, 10:12], labels[15:20, 15:30] = 1, 2, 3
    assert extents(labels).tolist() == [5, 8]


@pytest.mark.parametrize("size, grid", ((8, 1), (40, 2), (150, 4)))
def test_larger_cells_are_seen_on_a_coarser_grid(size, grid, tmp_path):
    config = configuration(np.array([size, size]), [300, 250], where=tmp_path)
    assert config["grid"] == [grid, grid]
    assert all(edge % (8 * grid) == 0 and edge <= 256 for edge in config["train_patch_size"])


def test_images_smaller_than_a_patch_are_refused(tmp_path):
    with pytest.raises(InputError, match="too small for StarDist"):
        configuration(np.array([40.0, 40.0]), [300, 12], where=tmp_path)
