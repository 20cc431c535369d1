"""Predictions: single frames joined in one store, read a frame at a time."""

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.core.files import digest
from cellcascade.data.stores import PREDICTIONS, PredictionsRecord
from cellcascade.evaluation.predictions import Segmented, join_frames, open_predictions, write_frame

RECORD = PredictionsRecord(dataset="D", seed=0, regime="real", sequence="02", digests={})


@pytest.mark.parametrize(("shape", "largest"), [((3, 20, 24), 9), ((20, 24), 70_000)])
def test_joined_frames_are_the_store_that_is_written_at_once(tmp_path, shape, largest):
    frames = {number: np.random.default_rng(number).integers(0, 5, shape).astype(np.uint16) for number in (3, 40, 112)}
    frames[40] = frames[40] * 0
    frames[112] = np.where(frames[112] > 3, largest, 0).astype(np.uint16 if largest < 2**16 else np.uint32)
    parts = {number: tmp_path / f"part/{number}.zarr.zip" for number in frames}
    sure = {number: np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8) for number in frames}
    for number, labels in frames.items():
        write_frame(parts[number], number, Segmented(labels, sure[number]), RECORD)
    join_frames(parts, tmp_path / "joined.zarr.zip", RECORD)
    arrays = {"mask": np.stack(list(frames.values())), "frame": np.array(list(frames), np.int32)}
    arrays["probability"] = np.stack(list(sure.values()))
    PREDICTIONS.write(tmp_path / "whole.zarr.zip", arrays, RECORD)
    assert digest(tmp_path / "joined.zarr.zip") == digest(tmp_path / "whole.zarr.zip")
    made = open_predictions(tmp_path / "joined.zarr.zip")
    assert list(made) == [3, 40, 112] and len(made) == 3 and 40 in made and 4 not in made
    assert made.store.group["mask"].chunks == (1, *shape) and made.store.record == RECORD
    for number, labels in frames.items():
        np.testing.assert_array_equal(made[number].labels, labels)
        np.testing.assert_array_equal(made[number].probability, sure[number])
        assert made[number].labels.dtype == arrays["mask"].dtype


def test_a_damaged_frame_is_named_and_nothing_is_written(tmp_path):
    parts = {number: tmp_path / f"{number}.zarr.zip" for number in (1, 2)}
    for number, part in parts.items():
        write_frame(part, number, Segmented(np.ones((4, 4), np.uint16), np.ones((4, 4), np.uint8)), RECORD)
    parts[2].write_bytes(parts[2].read_bytes()[:200])
    with pytest.raises(InputError, match=r"2\.zarr\.zip"):
        join_frames(parts, tmp_path / "joined.zarr.zip", RECORD)
    assert not (tmp_path / "joined.zarr.zip").exists()


def test_an_object_is_as_sure_as_its_pixels_are():
    labels = np.array([[[0, 2, 2], [0, 7, 7]], [[7, 7, 0], [2, 0, 0]]], np.uint16)
    probability = np.array([[[9, 255, 0], [9, 51, 51]], [[51, 51, 9], [0, 9, 9]]], np.uint8)
    made = Segmented(labels, probability)
    assert made.confidence() == pytest.approx([1 / 3, 0.2])
    assert made.slice(0).confidence() == pytest.approx([0.5, 0.2]) and made.slice(None) is made
    assert Segmented(labels * 0, probability).confidence().size == 0
