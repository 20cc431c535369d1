"""Every annotated cell is judged by a network that learned from the others, and synthetic cells are drawn by that."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellcascade.config.hardness import Hardness
from cellcascade.config.settings import Evaluation
from cellcascade.evaluation.hardness import judge_cells, rate_cells
from cellcascade.learning import training
from tests.segmentation_data import SETTINGS, blobs, make_data, real
from tests.unit.population.scenes import make, write_inputs

OFTEN = {"train": {"steps": 2, "batch_size": 4, "checkpoint_every": 1}}
COLUMNS = ["frame", "label", "z", "area", "brightness", "eccentricity", "touching", "border", "iou"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three annotated frames of four cells each."""
    return make_data(tmp_path_factory.mktemp("data"))


def judge(data, table, recording, **settings):
    evaluation = Evaluation(cellpose={**SETTINGS, "train": {"steps": 2, "batch_size": 4}, **settings})
    train = Hardness(steps_share=1).training(evaluation.training)
    given = {"start": None, "settings": evaluation.cellpose, "train": train, "seed": 0, "device": "cpu"}
    judge_cells(recording=recording, table=table, checkpoints=str(table.parent / "ck" / table.stem), **given)
    return pd.read_csv(table)


def test_cells_are_rated_by_the_object_that_fits_them_best():
    labels, result = np.zeros((60, 60), int), np.zeros((60, 60), int)
    labels[5:15, 5:15], labels[5:15, 17:27], labels[30:40, 0:10], labels[45:55, 30:50] = 1, 2, 5, 6
    labels[20, 40] = 7  # a speck
    result[5:15, 5:15], result[5:12, 17:27], result[45:55, 30:33], result[45:55, 33:50] = 9, 3, 4, 8
    image = np.where(labels > 0, 50 + 10 * labels, 20)
    found = rate_cells(image, labels, result, voxel_size_um=(1.0, 1.0))
    assert found["label"].tolist() == [1, 2, 5, 6] and (found["z"] == -1).all()
    assert found["iou"].tolist() == pytest.approx([1, 0.7, 0, 0.85]) and found["area"].tolist() == [100, 100, 100, 200]
    assert found["touching"].tolist() == [0, 0, 0, 0] and found["border"].tolist() == [0, 0, 1, 0]
    assert found["brightness"].tolist() == [40, 50, 80, 90]
    assert found["eccentricity"].tolist() == pytest.approx([0, 0, 0, np.sqrt(0.75)], abs=0.01)
    labels[5:15, 15:17] = 2
    touching = rate_cells(image, labels, result, voxel_size_um=(1.0, 1.0))["touching"].tolist()
    assert touching == [1, 1, 0, 0]


def test_cells_of_stacks_are_rated_as_a_whole_by_the_traits_of_their_widest_slice():
    image, labels = blobs((7, 64, 64), 0)
    found = rate_cells(image, labels.astype(int), labels.astype(int), voxel_size_um=(2.0, 1.0, 1.0))
    assert (found["iou"] == 1).all() and (found["z"] == 3).all()
    assert found["area"].tolist() == [int((labels[3] == label).sum()) for label in found["label"]]


def test_each_cell_of_all_frames_is_judged_once(data, tmp_path):
    table = judge(data, tmp_path / "hardness.csv", real(data))
    assert list(table) == COLUMNS and not table.isna().any().any()
    assert table.groupby("frame")["label"].apply(list).to_dict() == dict.fromkeys((0, 1, 2), [1, 2, 3, 4])
    assert table["iou"].between(0, 1).all() and table["brightness"].between(60, 120).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ck", "hardness.csv"]
    assert len(list(tmp_path.glob("ck/hardness-[01]-*/state.pt"))) == 2


@pytest.mark.parametrize(("frames", "kept"), [([0, 1, 2], 3), ([1], 1)])
def test_after_a_stop_both_trainings_go_on_to_the_same_table(data, tmp_path, monkeypatch, frames, kept):
    """Stopped after so many of the four checkpoints: within the first training, and within the second."""
    recording = real(data, chosen_frames=frames)
    whole = judge(data, tmp_path / "whole.csv", recording, **OFTEN)
    save, saved = training._State.save, []

    def save_some(*state):
        save(*state)
        saved.append(state[-1])
        if len(saved) == kept:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._State, "save", save_some)
    table = tmp_path / "hardness.csv"
    with pytest.raises(KeyboardInterrupt):
        judge(data, table, recording, **OFTEN)
    assert not table.exists() and len(set(saved)) == (kept + 1) // 2
    resumed = judge(data, table, recording, **OFTEN)
    assert len(saved) == 4 and len(set(saved)) == 2  # no step is done twice, though halves of frames are written anew
    assert table.read_bytes() == (tmp_path / "whole.csv").read_bytes() and len(resumed) == len(whole) > 0


def test_the_cells_of_one_frame_are_judged_by_its_other_half_and_images_are_made_by_that(data, tmp_path):
    table, again = tmp_path / "hardness.csv", tmp_path / "again.csv"
    found = [judge(data, path, real(data, chosen_frames=[1])) for path in (table, again)]
    assert found[0]["label"].tolist() == [1, 2, 3, 4] and set(found[0]["frame"]) == {1}
    assert table.read_bytes() == again.read_bytes()
    made = make(tmp_path / "images", {**write_inputs(tmp_path), "hardness": table}, images=(0, 1), focus=2.0)
    assert len(pd.read_csv(made / "cells.csv")) > 0


def test_stacks_are_judged_as_the_evaluation_segments_them(tmp_path):
    folder = tmp_path / "D"
    image, labels = blobs((3, 40, 64), 0)
    for name, pixels in (("01/t000.tif", image), ("01_ST/SEG/man_seg000.tif", labels)):
        (folder / name).parent.mkdir(parents=True)
        tifffile.imwrite(folder / name, pixels, photometric="minisblack")
    recording = real(tmp_path, voxel_size_um=(2.0, 1.0, 1.0))
    table = judge(tmp_path, tmp_path / "hardness.csv", recording, volumes="stitch")
    assert table["label"].tolist() == [1, 2, 3, 4] and (table["z"] == 1).all()
