"""Frames are segmented as a whole."""

import numpy as np
import pytest
import torch

from cellcascade.evaluation.cellpose import v3
from cellcascade.evaluation.cellpose.predict import segment
from tests.segmentation_data import blobs, make_data, train


@pytest.mark.parametrize("volumes", ["do_3D", "stitch"])
def test_stacks_are_segmented_as_a_whole(tmp_path, volumes):
    data = make_data(tmp_path)
    train(data, "real", "net")
    model = v3.load(data / "net" / "model", torch.device("cpu"))
    image, _ = blobs((5, 32, 32), 0)
    made = segment(model, image, diameter=16.0, anisotropy=2.0, volumes=volumes, options=v3.EVAL_OPTIONS)
    assert made.labels.shape == image.shape and made.labels.dtype == np.uint16
    assert made.probability.shape == image.shape and made.probability.dtype == np.uint8


class Sure:
    """A network that has decided: four kinds of pixels."""

    def eval(self, image, **how):
        logits = np.zeros(image.shape)
        logits[:, 1], logits[:, 2], logits[:, 3] = -100, 100, np.log(3)
        return np.eye(*image.shape, dtype=int), [None, None, logits], None


def test_probabilities_come_from_the_logits():
    made = segment(Sure(), np.eye(4), diameter=16.0, anisotropy=1.0, volumes="do_3D", options={})
    np.testing.assert_array_equal(made.probability, [[128, 0, 255, 191]] * 4)
    np.testing.assert_array_equal(made.labels, np.eye(4))
