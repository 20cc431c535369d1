"""Cellpose with and without synthetic images: what it is trained on, that it resumes, and how it is scored."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from cellpose.models import CellposeModel

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import write_image
from cellcascade.data.shards import open_shard
from cellcascade.evaluation import scoring
from cellcascade.evaluation.cellpose import train as cellpose
from cellcascade.evaluation.cellpose import v3 as cellpose3
from cellcascade.evaluation.cellpose.planes import normalise, real_planes, synthetic_planes
from cellcascade.learning import training
from tests.segmentation_data import SETTINGS, blobs, equal, make_data, real, train


@pytest.fixture
def data(tmp_path):
    """Real frames and synthetic images."""
    return make_data(tmp_path)


def test_real_planes_are_those_of_the_chosen_frames_alone(data):
    common = {"orientations": True, "most": 10}
    every = real_planes(**real(data), **common)
    one = real_planes(**real(data, annotated={"frames": 1}), **common)
    named = real_planes(**real(data, annotated={"frames": [2]}), **common)
    assert (every.frames, one.frames, named.frames) == (3, 1, 1) and len(one.images) == 1
    assert np.array_equal(one.images[0], every.images[1]) and np.array_equal(named.images[0], every.images[2])
    assert every.diameter == pytest.approx(16, abs=0.5)
    with pytest.raises(InputError, match="fewer annotated frames"):
        real_planes(**real(data, annotated={"frames": 4}), **common)
    with pytest.raises(InputError, match="frames 7 among them"):
        real_planes(**real(data, annotated={"frames": [1, 7]}), **common)


def test_planes_of_stacks_show_the_three_orientations_with_square_pixels(tmp_path):
    image, labels = blobs((6, 48, 40), 0)
    write_image(tmp_path / "img-00000.ome.zarr", image, labels, voxel_size_um=(2.0, 1.0, 1.0), levels=1)
    options = {"voxel_size_um": (2.0, 1.0, 1.0), "images": 5}
    flat = synthetic_planes(tmp_path, orientations=False, most=100, **options)
    assert {plane.shape for plane in flat.images} == {(48, 40)} and all(plane.any() for plane in flat.labels)
    every = synthetic_planes(tmp_path, orientations=True, most=1000, **options)
    assert {plane.shape for plane in every.images} == {(48, 40), (12, 40), (12, 48)}
    few = synthetic_planes(tmp_path, orientations=True, most=30, **options)
    assert len(few.images) == 30 and {plane.shape for plane in few.images} == {plane.shape for plane in every.images}
    assert np.array_equal(every.images[0], normalise(image)[np.flatnonzero(labels.any((1, 2)))[0]])


def test_regimes_take_equal_steps_from_equal_weights_and_learn_from_what_they_say(data):
    both, record = train(data, "both", "both")
    alone, _ = train(data, "real", "real")
    made, _ = train(data, "synthetic", "synthetic")
    assert record["planes"] == {"real": 3, "synthetic": 2} and record["real_share"] == 0.5 and record["steps"] == 2
    assert record["start"] == "scratch" and record["train_frames"] == 3
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


def test_weights_to_start_from_are_used_and_scored_as_they_are(data):
    start, _ = train(data, "real", "generalist")
    none, record = train(data, "none", "none", start=data / "generalist" / "model")
    names = [name for name in start if name != "diam_labels"]
    assert equal({name: start[name] for name in names}, none) and none["diam_mean"].item() == 17
    assert record["start"] == "model" and record["steps"] == 0 and record["real_share"] is None
    tuned, _ = train(data, "real", "tuned", start=data / "generalist" / "model")
    scratch, _ = train(data, "real", "scratch")
    assert not equal(tuned, start) and not equal(tuned, scratch)


def test_the_librarys_own_files_scale_nuclei_to_17_pixels_and_others_to_30(data):
    state, _ = train(data, "real", "net", settings={**SETTINGS, "network_diameter": 25})
    bare = {name: value for name, value in state.items() if not name.startswith("diam_")}
    for name, expected in (("nuclei", 17), ("cyto3", 30)):
        torch.save(bare, data / name)
        assert cellpose3.load(data / name, torch.device("cpu")).net.diam_mean.item() == expected
    assert cellpose3.load(data / "net" / "model", torch.device("cpu")).net.diam_mean.item() == 25


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
    assert (
        str(path) in str(error.value)
        and "evaluation.cellpose.start" in str(error.value)
        or "fetched" in str(error.value)
    )


def test_predictions_are_scored_on_gold_and_silver_by_file(data):
    annotations = scoring.reference_annotations(data / "D", "02", 2)
    assert {name: len(items) for name, items in annotations.items()} == {"gold": 2, "silver": 3}
    assert len(scoring.reference_annotations(data / "D", "02", 2, most=1)["silver"]) == 1
    train(data, "real", "net")
    for regime in ("real", "both"):
        folder = data / "scores" / regime
        scoring.predict(
            data / "net" / "model",
            data / "net" / "config.json",
            folder=data / "D",
            sequence="02",
            voxel_size_um=(1.0, 1.0),
            most=None,
            settings={"volumes": "do_3D"},
            names={"dataset": "D", "regime": regime, "seed": 0},
            store=folder / "predictions.zarr.zip",
            table=folder / "scores.csv",
            device="cpu",
        )
    store = open_shard(data / "scores/real/predictions.zarr.zip", scoring.SCHEMA)
    assert store["mask"].shape == (3, 64, 64) and store["frame"][:].tolist() == [0, 1, 2]
    tables = [data / "scores" / regime / "scores.csv" for regime in ("real", "both")]
    scoring.collect(tables, dataset="E", seg=data / "seg.csv", gain=data / "gain.csv")
    seg, gain = pd.read_csv(data / "seg.csv"), pd.read_csv(data / "gain.csv")
    assert seg["n_objects"].tolist() == [8, 12, 8, 12] and set(seg["dataset"]) == {"E"}
    assert seg.loc[seg["reference"] == "gold", "precision"].isna().all()
    assert seg["train_frames"].tolist() == [3] * 4 and (seg["seg"].between(0, 1)).all()
    assert gain["gain"].tolist() == [0, 0] and set(gain["regime"]) == {"both"}


def test_a_perfect_prediction_scores_one_in_3d_and_on_single_slices(tmp_path, monkeypatch):
    folder = tmp_path / "D"
    image, labels = blobs((6, 48, 48), 0)
    for name, pixels in {"t000": image, "t001": image}.items():
        (folder / "02").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / f"02/{name}.tif", pixels)
    (folder / "02_GT/SEG").mkdir(parents=True)
    for z in (2, 3):
        tifffile.imwrite(folder / f"02_GT/SEG/man_seg_000_{z:03d}.tif", labels[z])
    tifffile.imwrite(folder / "02_GT/SEG/man_seg001.tif", labels)
    (tmp_path / "config.json").write_text(
        json.dumps({"train_frames": 1, "train_slices": 10, "start": "x", "steps": 1, "diameter": 16, "real_share": 1.0})
    )
    shutil.copy(tmp_path / "config.json", tmp_path / "model")
    asked = []
    monkeypatch.setattr(cellpose3, "load", lambda weights, device: None)
    monkeypatch.setattr(cellpose, "segment", lambda model, frame, **how: asked.append(how) or labels)
    scoring.predict(
        tmp_path / "model",
        tmp_path / "config.json",
        folder=folder,
        sequence="02",
        voxel_size_um=(2.0, 1.0, 1.0),
        most=None,
        settings={"volumes": "stitch"},
        names={"dataset": "D", "regime": "real", "seed": 0},
        store=tmp_path / "p.zarr.zip",
        table=tmp_path / "scores.csv",
        device="cpu",
    )
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["seg"].tolist() == [1.0] and table["n_objects"].tolist() == [12] and table["precision"].tolist() == [1]
    assert asked == [{"diameter": 16, "anisotropy": 2.0, "volumes": "stitch", "options": {"channels": [0, 0]}}] * 2


@pytest.mark.parametrize("volumes", ["do_3D", "stitch"])
def test_stacks_are_segmented_as_a_whole(data, volumes):
    train(data, "real", "net")
    model = cellpose3.load(data / "net" / "model", torch.device("cpu"))
    image, _ = blobs((5, 32, 32), 0)
    masks = cellpose.segment(
        model, image, diameter=16.0, anisotropy=2.0, volumes=volumes, options=cellpose3.EVAL_OPTIONS
    )
    assert masks.shape == image.shape and masks.dtype == np.uint16


def test_style_vectors_are_256_values_that_tell_images_apart(data):
    train(data, "real", "net")
    features = cellpose3.style_vectors(data / "net" / "model", device="cpu")
    images = np.stack([blobs((64, 64), seed)[0] / 150 for seed in range(3)]).astype(np.float32)
    vectors = features(images)
    assert vectors.shape == (3, 256) and np.isfinite(vectors).all()
    assert np.array_equal(vectors, features(images)) and np.abs(vectors[0] - vectors[1]).max() > 1e-4
