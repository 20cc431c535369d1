"""Crops of made-up frames, cut as the stage does it."""

from pathlib import Path

import numpy as np
import pandas as pd

from cellcascade.config.settings import CropSettings
from cellcascade.data.crops import Crops, make_crops, read_crops
from cellcascade.data.recording import Choice, Recording
from tests.ctc_data import (
    Blob,
    Scene,
    write_sequence,
)


def cut(
    folder: Path,
    *,
    annotations: str = "ST",
    ndim: int = 2,
    dataset: str = "toy",
    chosen: tuple[Choice, Choice] = (None, None),
    **settings,
):
    """Make crops beside the data; gives the crops and the table, indexed by frame and label."""
    store, table = folder.parent / "crops.zarr.zip", folder.parent / "crops.csv"
    recording = Recording(folder, "01", annotations, (1.0, 0.5, 0.5)[-ndim:], *chosen)
    options = CropSettings(**{"size": 48, **settings})
    make_crops(recording=recording, dataset=dataset, settings=options, store=store, table=table)
    return read_crops(store), pd.read_csv(table, keep_default_na=False).set_index(["frame", "label"])


def write_scene(folder: Path, *blobs: Blob, shape: tuple[int, ...] = (96, 112), dtype: type = np.uint8) -> Path:
    return write_sequence(folder, scene=Scene(shape, list(blobs)), frames=1, annotated=(0,), dtype=dtype)


def index(crops: Crops, frame: int, label: int) -> int:
    return int(np.flatnonzero((crops.frame == frame) & (crops.label == label) & (crops.widest == 1))[0])


def raw_crop(frame: np.ndarray, labels: np.ndarray, label: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the frame and its labels hold at the place of a crop (which lies within the frame)."""
    there, here = np.argwhere(labels == label).min(0), np.argwhere(mask).min(0)
    place = tuple(slice(t - h, t - h + n) for t, h, n in zip(there, here, mask.shape))
    return frame[place], labels[place]
