"""A test frame as each regime segments it."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from cellcascade.data.stores import PREDICTIONS
from cellcascade.report.pictures import Display
from cellcascade.report.segmentation import match, segmented_frame
from cellcascade.report.sources import EvaluationFiles
from tests.stores import write_store

DISPLAY = Display((0.0, 110.0))


def labelled(*boxes, size=40):
    labels = np.zeros((size, size), np.uint16)
    for number, (y, x, edge) in enumerate(boxes, 1):
        labels[y : y + edge, x : x + edge] = number
    return labels


def test_matching_follows_seg():
    truth = labelled((2, 2, 10), (20, 20, 10))
    result = labelled((2, 2, 10), (32, 2, 5))
    result[20:25, 20:30] = 3  # exactly half of the second object: no match
    found = match(truth, result)
    assert set(np.unique(found.found)) == {0, 1}
    assert set(np.unique(found.missed)) == {0, 2} and set(np.unique(found.extra)) == {0, 2, 3}
    assert found.text == "1 of 2 found, 1 missed, 2 extra"


@pytest.fixture
def segmented(tmp_path):
    """A test sequence with silver truth of three frames, and predictions of frames 1 and 2."""
    truth = labelled((2, 2, 10), (20, 20, 10))
    for kind, name in (("02", "t{:03d}.tif"), ("02_ST/SEG", "man_seg{:03d}.tif")):
        (tmp_path / kind).mkdir(parents=True)
        for number in range(3):
            pixels = truth if kind != "02" else (90 * (truth > 0) + 10).astype(np.uint16)
            tifffile.imwrite(tmp_path / kind / name.format(number), pixels)
    paths = []
    for regime, result in (("both", truth), ("real", labelled((2, 2, 10)))):
        arrays = {"mask": np.stack([result] * 2), "frame": np.array([1, 2])}
        paths.append(write_store(PREDICTIONS, tmp_path / f"{regime}-0.zarr.zip", arrays, regime=regime))
    return EvaluationFiles({}, paths, Recording(tmp_path, "02", "ST", (1.0, 1.0)))


def test_test_frame_shows_each_regime_against_the_truth(segmented):
    shown = segmented_frame(segmented, DISPLAY)
    assert [panel.caption for panel in shown.whole] == [
        "Annotation: 2 objects",
        "Real: 1 of 2 found, 1 missed, 0 extra",
        "Both: 2 of 2 found, 0 missed, 0 extra",
    ]
    assert [panel.caption for panel in shown.detail] == ["Annotation", "Real", "Both"]
    assert "Test frame 2 of sequence 02, the middle one of 2 annotated ones (silver truth)" in shown.caption
    assert segmented_frame(replace(segmented, predictions=[]), DISPLAY) is None


def test_without_a_frame_that_all_regimes_segmented_nothing_is_shown(segmented):
    arrays = {"mask": np.zeros((1, 40, 40)), "frame": np.array([7])}
    write_store(PREDICTIONS, segmented.predictions[0], arrays, regime="both")
    assert segmented_frame(segmented, DISPLAY) is None


def test_a_segmentation_of_another_size_is_named(segmented):
    arrays = {"mask": np.zeros((2, 30, 30)), "frame": np.array([1, 2])}
    write_store(PREDICTIONS, segmented.predictions[0], arrays, regime="both")
    with pytest.raises(InputError, match="both-0"):
        segmented_frame(segmented, DISPLAY)
