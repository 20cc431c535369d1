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
    masks = segment(model, image, diameter=16.0, anisotropy=2.0, volumes=volumes, options=v3.EVAL_OPTIONS)
    assert masks.shape == image.shape and masks.dtype == np.uint16
