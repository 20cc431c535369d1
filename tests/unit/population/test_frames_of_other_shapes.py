"""Frames of a folder may differ in shape: crops and background come from all of them."""

import numpy as np

from cellcascade.config.settings import CropSettings
from cellcascade.data.crops import make_crops, read_crops
from cellcascade.data.recording import Recording
from cellcascade.population.background import fit_background, read_background
from cellcascade.population.canvas_background import sample_background
from tests.ctc_data import BACKGROUND
from tests.unit.data.layouts.writing import folders, scenes


def test_crops_and_background_of_frames_of_two_shapes(tmp_path):
    images, labels = scenes(3)
    images[0], labels[0] = images[0][:, :80], labels[0][:, :80]
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", images, labels)
    recording = Recording(tmp_path / "Mine", "all", "GT", (0.5, 0.5), layout="folders")
    places = {"store": tmp_path / "crops.zarr.zip", "table": tmp_path / "crops.csv"}
    make_crops(recording=recording, dataset="x", settings=CropSettings(size=32), **places)
    crops = read_crops(places["store"])
    assert crops.record.frame_shape == (96, 112), "the shape that most frames have"
    assert set(crops.frame) == {0, 1, 2}
    store = tmp_path / "background.zarr.zip"
    fit_background(recording=recording, crops=places["store"], rim=3, dataset="x", store=store)
    model = read_background(store)
    assert len(model.fields) == 3
    drawn = sample_background(model, (96, 112), np.random.default_rng(0))
    assert abs(drawn.mean() - BACKGROUND) < 1
