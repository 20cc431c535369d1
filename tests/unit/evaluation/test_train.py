"""Cellpose with and without synthetic images: what it is trained on, and that it resumes."""

import pandas as pd
import pytest
import tifffile
import torch
from cellpose.models import CellposeModel

from cellcascade.core.errors import InputError
from cellcascade.evaluation.cellpose.record import read_record
from cellcascade.learning import training
from tests.segmentation_data import blobs, equal, make_data, real, train


@pytest.fixture
def data(tmp_path):
    """Real frames and synthetic images."""
    return make_data(tmp_path)


def test_regimes_take_equal_steps_from_equal_weights_and_learn_from_what_they_say(data):
    both, record = train(data, "both", "both")
    alone, _ = train(data, "real", "real")
    made, _ = train(data, "synthetic", "synthetic")
    assert record.planes == {"real": 3, "synthetic": 2} and record.real_share == 0.5 and record.steps == 2
    assert record.start == "scratch" and record.train_frames == 3 and record.train_slices is None
    assert record.version == 3 and record.regime == "both"
    assert not equal(both, alone) and not equal(alone, made) and not equal(both, made)
    assert both.keys() == CellposeModel(gpu=False, pretrained_model=False).net.state_dict().keys()
    again, _ = train(data, "real", "again", synthetic=None)
    other, _ = train(data, "real", "other", seed=1)
    assert equal(alone, again) and not equal(alone, other)


def test_a_stopped_training_goes_on_to_the_same_weights(data, monkeypatch):
    whole, _ = train(data, "both", "whole")
    save = training._State.save

    def save_once(*state):
        save(*state)
        raise KeyboardInterrupt

    monkeypatch.setattr(training._State, "save", save_once)
    with pytest.raises(KeyboardInterrupt):
        train(data, "both", "stopped")
    monkeypatch.setattr(training._State, "save", save)
    resumed, _ = train(data, "both", "stopped")
    assert len(pd.read_csv(data / "stopped" / "training.csv")) == 2
    assert equal(whole, resumed)


def test_a_training_on_another_slice_of_the_same_files_does_not_go_on_from_its_state(tmp_path):
    image, labels = blobs((3, 64, 64), 0)
    for name, pixels in (("01/t000.tif", image), ("01_ST/SEG/man_seg000.tif", labels)):
        (tmp_path / "D" / name).parent.mkdir(parents=True)
        tifffile.imwrite(tmp_path / "D" / name, pixels, photometric="minisblack")
    for slices in ([1], [2]):
        recording = real(tmp_path, voxel_size_um=(2.0, 1.0, 1.0), chosen_slices=slices)
        train(tmp_path, "real", "net", recording=recording, synthetic=None)
    assert len(list((tmp_path / "checkpoints").glob("net-*"))) == 2


def test_statistics_of_batch_normalisation_are_measured_anew_and_not_those_that_followed_the_training(data):
    net, _ = train(data, "real", "net", synthetic=None)
    smallest = min(variance.min() for name, variance in net.items() if name.endswith("running_var"))
    assert smallest == 0  # of the empty second channel; two steps of a training have brought it from 1 to 0.9


def test_weights_to_start_from_are_used_and_scored_as_they_are(data):
    start, _ = train(data, "real", "generalist")
    none, record = train(data, "none", "none", start=data / "generalist" / "model")
    names = [name for name in start if name != "diam_labels"]
    assert equal({name: start[name] for name in names}, none) and none["diam_mean"].item() == 17
    assert record.start == "model" and record.steps == 0 and record.real_share is None
    tuned, _ = train(data, "real", "tuned", start=data / "generalist" / "model")
    scratch, _ = train(data, "real", "scratch")
    assert not equal(tuned, start) and not equal(tuned, scratch)


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_weights_that_are_none_are_refused_with_the_file(data, damage):
    path = data / "weights"
    if damage == "truncated":
        train(data, "real", "net")
        path.write_bytes((data / "net" / "model").read_bytes()[:5000])
    if damage == "other":
        torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="Cellpose weights cannot be loaded") as error:
        train(data, "real", "tuned", start=path)
    message = str(error.value)
    assert str(path) in message and ("evaluation.cellpose.start" in message or "fetched" in message)


def test_a_record_that_is_none_is_refused_with_the_file(data):
    path = data / "config.json"
    for content in (None, "{", '{"regime": "real"}'):
        if content:
            path.write_text(content)
        with pytest.raises(InputError, match="record of a network") as caught:
            read_record(path)
        assert caught.value.where == str(path)
