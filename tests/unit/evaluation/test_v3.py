"""The network of Cellpose 3: the scale of its own files, and its style vectors."""

import numpy as np
import pytest
import torch

from cellcascade.evaluation.cellpose import v3
from tests.segmentation_data import SETTINGS, blobs, make_data, train


@pytest.fixture
def data(tmp_path):
    """Real frames and synthetic images."""
    return make_data(tmp_path)


def test_the_librarys_own_files_scale_nuclei_to_17_pixels_and_others_to_30(data):
    state, _ = train(data, "real", "net", settings={**SETTINGS, "network_diameter": 25})
    bare = {name: value for name, value in state.items() if not name.startswith("diam_")}
    for name, expected in (("nuclei", 17), ("cyto3", 30)):
        torch.save(bare, data / name)
        assert v3.load(data / name, torch.device("cpu")).net.diam_mean.item() == expected
    assert v3.load(data / "net" / "model", torch.device("cpu")).net.diam_mean.item() == 25


def test_style_vectors_are_256_values_that_tell_images_apart(data):
    train(data, "real", "net")
    features = v3.style_vectors(data / "net" / "model", device="cpu")
    images = np.stack([blobs((64, 64), seed)[0] / 150 for seed in range(3)]).astype(np.float32)
    vectors = features(images)
    assert vectors.shape == (3, 256) and np.isfinite(vectors).all()
    assert np.array_equal(vectors, features(images)) and np.abs(vectors[0] - vectors[1]).max() > 1e-4
