"""Cellpose 4: its network is trained, resumed, segments and is scored by the same scripts.

These tests run where the packages of envs/cellpose4.yaml are installed, on a network of its class that is a few layers
deep: its own has 24 and a gigabyte of weights.
"""

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from cellcascade.config.settings import Evaluation
from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from cellcascade.data.stores import PREDICTIONS
from cellcascade.evaluation.cellpose.weights import installed, version_in_file
from cellcascade.evaluation.scoring import join_scores
from cellcascade.learning import training
from tests import segmentation_data
from tests.segmentation_data import blobs, equal, make_data, predict

if not (installed() or "").startswith("4."):
    pytest.skip(f"cellpose {installed()} is installed, not 4 (envs/cellpose4.yaml)", allow_module_level=True)

from cellpose import vit
from segment_anything.build_sam import _build_sam

STEPS = {"steps": 3, "batch_size": 2, "learning_rate": 1e-3, "checkpoint_every": 1}


def small(checkpoint=None):
    """The image encoder of Segment Anything with two narrow layers."""
    return _build_sam(32, 2, 2, encoder_global_attn_indexes=[1], checkpoint=checkpoint)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Real frames, synthetic images, and weights of a small network of Cellpose 4."""
    monkeypatch.setitem(vit.sam_model_registry, "vit_l", small)
    torch.manual_seed(0)
    vit.CPSAM().save_model(tmp_path / "generalist")
    return make_data(tmp_path)


def train(data, regime, name, steps=STEPS, start="generalist", volumes="do_3D", **other):
    """Train from the generalist; give the weights and the record."""
    settings = {"version": 4, "start": f"./{start}", "max_images": 6, "volumes": volumes}
    other |= {"start": data / start, "train": Evaluation(cellpose=settings, cellpose4=steps).training}
    other |= {} if regime in ("synthetic", "both") else {"synthetic": None}
    return segmentation_data.train(data, regime, name, settings, **other)


def test_weights_are_taken_as_they_are_and_trained_in_equal_steps(data):
    start = torch.load(data / "generalist", weights_only=True)
    none, record = train(data, "none", "none")
    assert equal({name: value for name, value in start.items() if name != "diam_labels"}, none)
    assert none["diam_labels"].item() == pytest.approx(16, abs=0.5)
    assert record.start == "generalist" and record.network_diameter == 30 and record.steps == 0
    assert record.version == 4
    made = {regime: train(data, regime, regime) for regime in ("real", "synthetic", "both")}
    assert all(record.steps == 3 for _, record in made.values()) and made["both"][1].real_share == 0.5
    weights = {"none": none} | {regime: state for regime, (state, _) in made.items()}
    for first, second in (("none", "real"), ("real", "synthetic"), ("real", "both"), ("synthetic", "both")):
        assert weights[first].keys() == weights[second].keys() and not equal(weights[first], weights[second])
    for name in ("W2", "diam_mean"):
        assert torch.equal(weights["both"][name], start[name])
    assert all(version_in_file(data / regime / "model") == 4 for regime in weights)


def test_equal_seeds_give_equal_weights_and_others_do_not(data):
    first, again, other = (train(data, "both", name, seed=seed)[0] for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert equal(first, again) and not equal(first, other)


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
    assert len(pd.read_csv(data / "stopped" / "training.csv")) == 3
    assert equal(whole, resumed)


def test_targets_are_learned_and_first_cells_found(data):
    steps = {"steps": 120, "batch_size": 2, "learning_rate": 3e-3, "checkpoint_every": 20, "ema_decay": 0.9}
    train(data, "real", "long", steps=steps)
    losses = pd.read_csv(data / "long" / "training.csv")["loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    train(data, "none", "none")
    before, after = (pd.read_csv(predict(data, *names))["seg"] for names in (("none", "none"), ("long", "real")))
    assert (after > before + 0.05).all()


def test_predictions_of_the_regimes_are_scored_in_one_table(data):
    tables = []
    for regime in ("none", "real", "both"):
        train(data, regime, regime)
        tables.append(predict(data, regime, regime))
    join_scores(scores=tables, dataset="D", seg=data / "seg.csv", gain=data / "gain.csv")
    seg, gain = pd.read_csv(data / "seg.csv"), pd.read_csv(data / "gain.csv")
    assert seg["regime"].tolist() == ["none", "none", "real", "real", "both", "both"]
    assert seg["n_objects"].tolist() == [8, 12] * 3 and set(seg["start"]) == {"generalist"}
    assert set(gain["regime"]) >= {"both"}


@pytest.mark.parametrize("volumes", ["do_3D", "stitch"])
def test_stacks_are_learned_from_segmented_and_scored(data, volumes):
    image, labels = blobs((5, 32, 32), 0)
    for sequence in ("01", "02"):
        for name, pixels in ((sequence, image), (f"{sequence}_ST/SEG", labels)):
            (data / "V" / name).mkdir(parents=True)
            file = "t000.tif" if name == sequence else "man_seg000.tif"
            tifffile.imwrite(data / "V" / name / file, pixels)
    recordings = [Recording(data / "V", sequence, "ST", (2.0, 1.0, 1.0)) for sequence in ("01", "02")]
    _, record = train(data, "real", "stacks", volumes=volumes, recording=recordings[0])
    assert record.planes["real"] == (6 if volumes == "do_3D" else 4) and record.train_slices == 5
    table = pd.read_csv(predict(data, "stacks", "real", volumes=volumes, recording=recordings[1]))
    assert table["n_objects"].tolist() == [4]
    masks = PREDICTIONS.open(data / "stacks" / "predictions.zarr.zip")["mask"]
    assert masks.shape == (1, *image.shape) and masks.dtype == np.uint16


@pytest.mark.parametrize("damage", ["missing", "truncated", "a tensor short", "of Cellpose 3"])
def test_weights_that_are_none_are_refused_with_the_file(data, damage):
    path, state = data / "cpsam", torch.load(data / "generalist", weights_only=True)
    if damage == "truncated":
        path.write_bytes((data / "generalist").read_bytes()[:5000])
    if damage == "a tensor short":
        del state["out.weight"]
        torch.save(state, path)
    if damage == "of Cellpose 3":
        torch.save({"downsample.down.res_down_0.conv.conv_0.0.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="Cellpose weights cannot be loaded") as error:
        train(data, "real", "tuned", start="cpsam")
    assert str(path) in str(error.value) and "evaluation.cellpose.start" in str(error.value)
