"""Test frames are found, segmented and scored, against gold and silver truth."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.core.files import digest
from cellcascade.data.recording import Recording
from cellcascade.data.stores import PREDICTIONS
from cellcascade.evaluation import scoring
from cellcascade.evaluation.cellpose import predict as predicting
from cellcascade.evaluation.cellpose import v3
from cellcascade.evaluation.cellpose.record import NetworkRecord
from cellcascade.evaluation.predictions import Segmented
from tests.partly import EDGE, partly
from tests.segmentation_data import blobs, held_out, make_data, predict, train


def sure(labels):
    """A segmentation that doubts nothing."""
    return Segmented(labels, np.full(labels.shape, 255, np.uint8))


@pytest.fixture
def data(tmp_path):
    """Real frames and synthetic images."""
    return make_data(tmp_path)


def test_references_are_gold_and_silver_of_the_same_frames(data):
    annotations = scoring.reference_annotations(held_out(data))
    assert {name: len(items) for name, items in annotations.items()} == {"gold": 2, "silver": 3}
    few = scoring.reference_annotations(held_out(data, annotations="GT"), 1)
    assert {name: [item.frame for item in items] for name, items in few.items()} == {"gold": [1], "silver": [1]}
    with pytest.raises(InputError, match="sequence 03 has no annotations"):
        scoring.reference_annotations(held_out(data, sequence="03"))
    with pytest.raises(InputError, match="data set E is not there"):
        scoring.reference_annotations(held_out(data, folder=data / "E"))


def test_predictions_are_scored_on_gold_and_silver_by_file(data):
    train(data, "real", "net")
    tables = []
    for regime in ("real", "both"):
        folder = data / "scores" / regime
        paths = {"store": folder / "predictions.zarr.zip", "table": folder / "scores.csv"}
        predict(data, "net", regime, **paths)
        tables.append(paths["table"])
    store = PREDICTIONS.open(data / "scores/real/predictions.zarr.zip")
    assert store["mask"].shape == (3, 64, 64) and store["frame"].tolist() == [0, 1, 2]
    assert (store.record.regime, store.record.sequence, store.record.seed) == ("real", "02", 0)
    assert set(store.record.digests) == {"net/model", "net/config.json"}
    scoring.join_scores(scores=tables, dataset="E", seg=data / "seg.csv", gain=data / "gain.csv")
    seg, gain = pd.read_csv(data / "seg.csv"), pd.read_csv(data / "gain.csv")
    assert seg["n_objects"].tolist() == [8, 12, 8, 12] and set(seg["dataset"]) == {"E"}
    assert seg.loc[seg["reference"] == "gold", "precision"].isna().all()
    assert seg["train_frames"].tolist() == [3] * 4 and (seg["seg"].between(0, 1)).all()
    assert (gain["gain"] == 0).all() and set(gain["regime"]) == {"both"}
    overall = gain[gain["objects"] == "all"]
    assert (overall["measure"] == "seg").sum() == 2 and {"dim", "small"} < set(gain["objects"])
    assert set(overall.loc[overall["reference"] == "gold", "measure"]) == {"seg"}, "precision needs all cells annotated"
    assert seg["seg_dim"].between(0, 1).all() and seg.loc[seg["reference"] == "silver", "ap_50"].notna().all()
    assert seg.loc[seg["reference"] == "gold", "ap_50"].isna().all()


def test_a_stopped_prediction_goes_on_with_the_frames_that_are_missing(data, monkeypatch):
    train(data, "real", "net")
    whole = predict(data, "net", "real", store=data / "whole.zarr.zip")
    assert not any((data / "checkpoints").glob("predictions-*"))
    segment, seen, stop = predicting.segment, [], [True]

    def stopped(model, image, **how):
        if len(seen) == 2 and stop[0]:
            raise KeyboardInterrupt
        seen.append(image[:4].tolist())
        return segment(model, image, **how)

    monkeypatch.setattr(predicting, "segment", stopped)
    again = {"store": data / "again.zarr.zip", "table": data / "again.csv"}
    with pytest.raises(KeyboardInterrupt):
        predict(data, "net", "real", **again)
    (folder,) = (data / "checkpoints").glob("predictions-real-*")
    assert [path.name for path in sorted(folder.iterdir())] == ["t0000.zarr.zip", "t0001.zarr.zip"]
    assert not again["store"].exists() and len(seen) == 2
    stop[0] = False
    assert predict(data, "net", "real", **again).read_bytes() == again["table"].read_bytes()
    expected = [tifffile.imread(data / f"D/02/t{frame:03d}.tif")[:4].tolist() for frame in range(3)]
    assert seen == expected, "every frame once"
    assert digest(again["store"]) == digest(data / "whole.zarr.zip")
    assert again["table"].read_bytes() == whole.read_bytes() and not folder.exists()


def test_frames_segmented_by_other_weights_or_of_other_images_are_not_gone_on_with(data):
    train(data, "real", "net")
    weights, record, frames = data / "net/model", data / "net/config.json", held_out(data).frames()
    numbered = {item.frame: item for item in frames}

    def folder(volumes="do_3D", frames=numbered):
        return predicting.predictions_folder("some", weights, record, held_out(data), frames, volumes)

    first = folder()
    assert folder() == first and first.name.startswith("some-")
    found = {first, folder("stitch"), folder(frames={0: numbered[0]})}
    weights.write_bytes(weights.read_bytes()[::-1])
    found.add(folder())
    tifffile.imwrite(numbered[1].image, tifffile.imread(numbered[1].image)[::-1])
    found.add(folder())
    assert len(found) == 5


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
    (tmp_path / "net").mkdir()
    facts = {"regime": "real", "version": 3, "start": "x", "network_diameter": 17, "planes": {}, "images": {}}
    scores = {"train_frames": 1, "train_slices": 10, "train_cells": 40, "steps": 1, "diameter": 16, "real_share": 1.0}
    NetworkRecord(**facts, **scores).write(tmp_path / "net/config.json")
    (tmp_path / "net/model").write_bytes(b"")
    asked = []
    monkeypatch.setattr(v3, "load", lambda weights, device: None)
    monkeypatch.setattr(predicting, "segment", lambda model, frame, **how: asked.append(how) or sure(labels))
    recording = Recording(folder, "02", "ST", (2.0, 1.0, 1.0))
    table = pd.read_csv(predict(tmp_path, "net", "real", recording=recording, volumes="stitch"))
    assert table["seg"].tolist() == [1.0] and table["n_objects"].tolist() == [12] and table["precision"].tolist() == [1]
    assert table[list(scoring.FACTS)].iloc[0].to_dict() == {**scores, "start": "x"}
    assert asked == [{"diameter": 16, "anisotropy": 2.0, "volumes": "stitch", "options": {"channels": [0, 0]}}] * 2


def test_what_nobody_annotated_is_not_scored(tmp_path):
    recording = partly(tmp_path / "Mine")
    items = recording.frames()
    perfect = recording.read_labels(items[0]).copy()
    perfect[20:30, EDGE - 4 : EDGE + 20] = 30  # most of it is where nobody annotated
    perfect[70:90, EDGE + 10 : EDGE + 40] = 31
    (row,) = scoring.score_rows(recording, {"gold": items}, {item.frame: sure(perfect) for item in items})
    assert (row["seg"], row["precision"], row["recall"], row["n_objects"]) == (1, 1, 1, 9)
    perfect[10:20, 2:12] = 32  # a false one where everything is annotated
    (row,) = scoring.score_rows(recording, {"gold": items}, {item.frame: sure(perfect) for item in items})
    assert row["precision"] == 0.75 and row["recall"] == 1
    assert [row[f"precision_at_{recall}"] for recall in (50, 95)] == [0.75, 0.75]  # all are equally sure
    doubted = np.where(perfect == 32, 20, 255).astype(np.uint8)
    (row,) = scoring.score_rows(recording, {"gold": items}, {item.frame: Segmented(perfect, doubted) for item in items})
    assert row["precision"] == 0.75 and row["precision_at_95"] == 1
    np.testing.assert_array_equal(scoring.without_ignored(perfect, None), perfect)
