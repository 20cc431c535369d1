"""Memory is bounded by one image and what is kept of it, not by the number of images."""

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellcascade.data.ngff import write_image
from cellcascade.data.recording import Recording
from cellcascade.evaluation.cellpose import predict as predicting
from cellcascade.evaluation.cellpose import v3
from cellcascade.evaluation.cellpose.planes import Planes, real_planes, synthetic_planes
from cellcascade.evaluation.cellpose.record import NetworkRecord
from cellcascade.evaluation.predictions import Segmented
from cellcascade.metrics import seg
from tests.segmentation_data import blobs, predict

SHAPE = (12, 160, 192)
IMAGE = 2 * np.prod(SHAPE)  # bytes of 16-bit counts, or labels
VOXEL_UM = (2.5, 1.0, 1.0)
FEW, MANY = 6, 18  # images; readers decode chunks side by side, so that equal runs differ by less than two of them
KEPT = 8  # planes


def peak(run: Callable[[], object]) -> int:
    """Most bytes of Python and numpy at a time beside those that were there before."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Stacks as real frames, annotated as a whole, and as synthetic images."""
    made = tmp_path_factory.mktemp("stacks")
    image, labels = blobs(SHAPE, 0)
    write_image(made / "img-00000.ome.zarr", image, labels, voxel_size_um=VOXEL_UM, levels=1)
    for name, pixels in {"01/t000.tif": image, "01_ST/SEG/man_seg000.tif": labels}.items():
        (made / name).parent.mkdir(parents=True)
        tifffile.imwrite(made / name, pixels, compression="zlib")
    for index in range(1, MANY):
        shutil.copytree(made / "img-00000.ome.zarr", made / f"img-{index:05d}.ome.zarr")
        shutil.copy(made / "01/t000.tif", made / f"01/t{index:03d}.tif")
        shutil.copy(made / "01_ST/SEG/man_seg000.tif", made / f"01_ST/SEG/man_seg{index:03d}.tif")
    return made


def found(model, image, **how) -> Segmented:
    """What is bright, for sure."""
    bright = image > 50
    return Segmented(bright.astype(np.uint16), 255 * bright.astype(np.uint8))


def synthetic(folder: Path, images: int) -> Planes:
    return synthetic_planes(folder, anisotropy=2.5, orientations=True, images=images, most=KEPT)


def real(folder: Path, images: int) -> Planes:
    return real_planes(Recording(folder, "01", "ST", VOXEL_UM, images), orientations=True, most=KEPT)


@pytest.mark.parametrize("planes", [synthetic, real])
def test_planes_of_many_stacks_take_the_memory_of_those_of_few(folder, planes):
    made = planes(folder, 2)
    kept = sum(array.nbytes for pair in zip(made.images, made.labels) for array in pair)
    assert len(made.images) == KEPT and len({plane.shape for plane in made.images}) > 1
    few, many = (peak(lambda count=count: planes(folder, count)) for count in (FEW, MANY))
    assert many < few + 2 * IMAGE and many < 6 * IMAGE + 2 * kept


def test_predictions_of_many_stacks_take_the_memory_of_those_of_few(folder, tmp_path, monkeypatch):
    facts = {"regime": "real", "version": 3, "start": "x", "network_diameter": 17, "planes": {}, "images": {}}
    scores = {"train_frames": 1, "train_slices": 10, "train_cells": 40, "steps": 1, "diameter": 16, "real_share": 1.0}
    (tmp_path / "net").mkdir()
    NetworkRecord(**facts, **scores).write(tmp_path / "net/config.json")
    (tmp_path / "net/model").write_bytes(b"")
    monkeypatch.setattr(v3, "load", lambda weights, device: None)
    monkeypatch.setattr(predicting, "segment", found)
    monkeypatch.setattr(seg, "BLOCK", 1 << 14)  # pixels; as small to these frames as the real one is to large frames
    recording = Recording(folder, "01", "ST", VOXEL_UM)

    def predicted(count: int) -> Path:
        return predict(tmp_path, "net", "real", recording=recording, most=count)

    predicted(1)
    few, many = (peak(lambda count=count: predicted(count)) for count in (FEW, MANY))
    assert many < few + 2 * IMAGE and many < 10 * IMAGE
    assert pd.read_csv(tmp_path / "net/scores.csv")["frames"].tolist() == [MANY]
