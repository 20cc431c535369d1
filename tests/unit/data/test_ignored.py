"""What nobody annotated: nothing is taken from there, and numbers of cells are those of the rest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.data.crops import make_crops, read_crops
from cellcascade.data.objects import PARTLY_SEEN
from tests.ctc_data import write_tiff
from tests.partly import EDGE, SHARE, partly


def test_labels_are_read_without_what_nobody_annotated(tmp_path):
    recording = partly(tmp_path / "Mine")
    item = recording.frames()[0]
    labels, ignored = recording.read(item)[1], recording.read_ignored(item)
    assert labels.dtype == np.uint16 and not labels[:, EDGE:].any() and set(np.unique(labels)) == {0, 1, 2, 9}
    assert ignored[:, EDGE:].all() and not ignored[:, :EDGE].any()
    pieces = replace(recording, split_labels=True)
    assert not pieces.read_labels(item)[:, EDGE:].any() and pieces.read_labels(item).max() == 3
    everything = replace(recording, ignore_label=None)
    assert everything.read_ignored(item) is None
    with pytest.raises(InputError, match=r"from -1 to 9[\s\S]*ignore_label: -1"):
        everything.read(item)


def test_crops_show_nothing_of_it(tmp_path):
    store, table = tmp_path / "crops.zarr.zip", tmp_path / "crops.csv"
    settings = CropSettings(size=48)
    make_crops(recording=partly(tmp_path / "Mine"), dataset="mine", settings=settings, store=store, table=table)
    rows = pd.read_csv(table, keep_default_na=False)
    reasons = {label: set(found.reason) for label, found in rows.groupby("label")}
    assert reasons == {1: {""}, 2: {PARTLY_SEEN}, 9: {"too small"}}
    crops = read_crops(store)
    assert crops.record.cells_per_frame == (round(3 / SHARE),) * 3
    outside = crops.image[crops.mask == 0]
    assert outside.size and outside.max() < 60, "neither the neighbour nor what nobody annotated is in the crops"


def test_a_frame_that_nobody_annotated_lends_no_number_of_cells(tmp_path):
    recording = partly(tmp_path / "Mine")
    write_tiff(recording.frames()[1].labels, np.full((96, 112), -1, np.int16))
    store, table = tmp_path / "crops.zarr.zip", tmp_path / "crops.csv"
    make_crops(recording=recording, dataset="mine", settings=CropSettings(size=48), store=store, table=table)
    assert read_crops(store).record.frames == (0, 2) and len(read_crops(store).record.cells_per_frame) == 2
