"""Each connected piece of a label as a cell of its own."""

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data import pieces
from cellcascade.data.recording import Recording
from tests.ctc_data import write_2d, write_tiff

MASK = np.array([[255, 255, 0, 255], [0, 0, 0, 255], [255, 0, 0, 0]], np.uint16)


def test_pieces_of_a_mask_are_numbered(tmp_path):
    found = pieces.split(MASK, tmp_path)
    assert found.dtype == np.uint16 and found.tolist() == [[1, 1, 0, 2], [0, 0, 0, 2], [3, 0, 0, 0]]


def test_cells_that_touch_stay_apart_if_their_numbers_differ(tmp_path):
    found = pieces.split(np.array([[1, 1, 2, 2, 0, 1]], np.uint16), tmp_path)
    assert found.tolist() == [[1, 1, 2, 2, 0, 3]]


def test_pieces_reach_through_a_stack(tmp_path):
    assert pieces.split(np.stack([MASK, MASK]), tmp_path).max() == 3


def test_more_pieces_than_labels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "LARGEST", 2)
    with pytest.raises(InputError, match="more pieces than there are labels"):
        pieces.split(MASK, tmp_path)


def test_a_recording_splits_its_labels_if_it_is_told_to(tmp_path):
    folder = write_2d(tmp_path / "Toy")
    for path in (folder / "01_ST/SEG").glob("*.tif"):
        write_tiff(path, (Recording(folder, "01", "ST", (1, 1)).read_labels(first(folder)) > 0).astype(np.uint8) * 255)
    whole, split = (Recording(folder, "01", "ST", (1, 1), split_labels=each) for each in (False, True))
    assert np.unique(whole.read_labels(first(folder))).tolist() == [0, 255]
    assert np.unique(split.read_labels(first(folder))).tolist() == [0, 1, 2, 3, 4, 5]
    assert (split.read(first(folder))[1] == split.read_labels(first(folder))).all()


def first(folder):
    return Recording(folder, "01", "ST", (1, 1)).frames()[0]
