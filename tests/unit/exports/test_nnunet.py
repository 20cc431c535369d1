import json

import numpy as np
import pytest
import tifffile

from cellcascade.cli import main
from cellcascade.exports.nnunet import BORDER, CORE, to_classes, to_instances


def recovered(made: np.ndarray, labels: np.ndarray) -> float:
    """Share of the cells that have one of the made ones for themselves: an IoU above 0.5, which is never of two."""
    pairs, count = np.unique(np.stack([labels.ravel(), made.ravel()]), axis=1, return_counts=True)
    both = dict(zip(map(tuple, pairs.T), count))
    sizes, others = np.bincount(labels.ravel()), np.bincount(made.ravel())
    found = [1 for (a, b), n in both.items() if a and b and n / (sizes[a] + others[b] - n) > 0.5]
    return len(found) / (len(np.unique(labels)) - 1)


@pytest.mark.parametrize("ndim", (2, 3))
def test_instances_come_back_from_the_classes_that_were_written(flat, stacks, exported, ndim, tmp_path, capsys):
    source = flat if ndim == 2 else stacks
    folder, _ = exported("nnunet", source, number=7)
    place = folder / "Dataset007_toy"
    assert main(["instances", str(place / "labelsTr"), str(tmp_path / "cells")]) == 0
    assert f"{len(source.images)} images" in capsys.readouterr().out
    for image in source.images:
        labels, classes = image.labels(), tifffile.imread(place / f"labelsTr/{image.name}.tif")
        assert np.array_equal(classes > 0, labels > 0)
        assert np.array_equal(tifffile.imread(place / f"imagesTr/{image.name}_0000.tif"), image.counts())
        if image.cells:
            made = tifffile.imread(tmp_path / f"cells/{image.name}.tif")
            assert made.max() == image.cells and recovered(made, labels) == 1


def test_stacks_have_their_spacing_beside_them(stacks, exported):
    place = exported("nnunet", stacks)[0] / "Dataset001_toy"
    for part in ("imagesTr", "labelsTr"):
        names = {path.stem: json.loads(path.read_text()) for path in (place / part).glob("*.json")}
        assert names == {image.name: {"spacing": [1.0, 0.5, 0.5]} for image in stacks.images}
    facts = json.loads((place / "dataset.json").read_text())
    assert facts["numTraining"] == 3 and facts["labels"] == {"background": 0, "core": 1, "border": 2}


def test_cores_of_neighbours_never_touch_and_each_cell_has_one():
    labels = np.zeros((5, 12, 12), np.uint16)
    labels[:2, 2:10, 2:10], labels[2:, 2:10, 2:10] = 1, 2  # one on top of the other
    labels[1:4, 0, 0] = 3  # too thin for a border
    classes = to_classes(labels, border=2, sampling=(5.0, 1.0, 1.0))
    assert np.array_equal(np.unique(to_instances(classes)), [0, 1, 2, 3])
    assert (classes[1:3][labels[1:3] > 0] != CORE).sum() >= 2 * 64
    assert classes[0, 5, 5] == CORE and classes[0, 2, 5] == BORDER


def test_a_cell_with_a_waist_has_one_core():
    labels = np.zeros((20, 40), np.uint16)
    labels[2:18, 2:16], labels[9:11, 16:24], labels[4:16, 24:38] = 1, 1, 1
    classes = to_classes(labels, border=2, sampling=(1.0, 1.0))
    assert to_instances(classes).max() == 1


def test_borders_without_a_core_are_no_cell():
    classes = np.zeros((9, 9), np.uint8)
    classes[1:4, 1:4], classes[2, 2], classes[6, 6] = BORDER, CORE, BORDER
    made = to_instances(classes)
    assert made.max() == 1 and made[6, 6] == 0 and (made == 1).sum() == 9


@pytest.mark.parametrize("kind", ("missing", "values", "damaged"))
def test_other_files_than_classes_are_refused(tmp_path, capsys, kind):
    (tmp_path / "classes").mkdir()
    if kind == "values":
        tifffile.imwrite(tmp_path / "classes/a.tif", np.full((4, 4), 7, np.uint8))
    if kind == "damaged":
        (tmp_path / "classes/a.tif").write_bytes(b"II*\0")
    assert main(["instances", str(tmp_path / "classes"), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    said = {"missing": "no *.tif file", "values": "values 7", "damaged": "cannot be read"}
    assert said[kind] in error and "nnUNetv2_predict" in error and not (tmp_path / "out").exists()
