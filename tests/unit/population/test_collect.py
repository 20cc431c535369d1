import json
import os

import numpy as np
import pandas as pd
import pytest

from cellcascade.core.errors import InputError
from cellcascade.core.files import digest
from cellcascade.data.ngff import read_image
from cellcascade.population import collect as module
from cellcascade.population.collect import collect_images
from tests.unit.population.scenes import make, write_inputs


@pytest.fixture
def shards(tmp_path):
    inputs = write_inputs(tmp_path)
    folders = [
        make(tmp_path / "population" / name, inputs, images=span) for name, span in (("b", (2, 3)), ("a", (0, 2)))
    ]
    return folders, inputs


def collect(tmp_path, folders, sources=()):
    folder = tmp_path / "synthetic"
    record = {"dataset": "test", "seed": 3, "config": {"images": 3}}
    collect_images(population=folders, sources=list(sources), record=record, folder=folder)
    return folder


def assert_nothing_left(tmp_path):
    assert not [path for path in tmp_path.iterdir() if "synthetic" in path.name]


def test_every_label_has_its_row_and_every_row_its_label(tmp_path, shards):
    folder = collect(tmp_path, shards[0])
    cells = pd.read_csv(folder / "cells.csv")
    manifest = pd.read_csv(folder / "manifest.csv")
    assert list(manifest["image"]) == ["img-00000", "img-00001", "img-00002"]
    for row in manifest.itertuples():
        labels = np.unique(read_image(folder / row.path).labels[0].compute())
        assert sorted(cells.loc[cells["image"] == row.image, "label"]) == list(labels[labels > 0])
    assert set(cells["image"]) == set(manifest["image"])


def test_record_holds_config_versions_and_digests(tmp_path, shards):
    folders, inputs = shards
    record = json.loads((collect(tmp_path, folders, [inputs["crops"]]) / "dataset.json").read_text())
    assert record["config"] == {"images": 3} and record["seed"] == 3 and record["images"] == 3
    assert record["versions"]["numpy"] == np.__version__
    assert record["digests"] == {str(inputs["crops"]): digest(inputs["crops"])}


def test_images_are_links_that_outlive_the_shards(tmp_path, shards):
    source = next((shards[0][0] / "img-00002.ome.zarr").rglob("zarr.json"))
    folder = collect(tmp_path, shards[0])
    target = folder / source.relative_to(shards[0][0])
    assert os.path.samefile(source, target)


def test_images_are_copied_where_links_are_impossible(tmp_path, shards, monkeypatch):
    def refuse(source, target):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    folder = collect(tmp_path, shards[0])
    original = read_image(shards[0][0] / "img-00002.ome.zarr").image[0].compute()
    assert np.array_equal(read_image(folder / "img-00002.ome.zarr").image[0].compute(), original)


def test_interrupted_collection_leaves_nothing(tmp_path, shards, monkeypatch):
    linked = []

    def interrupt(source, target):
        linked.append(source)
        if len(linked) > 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_link", interrupt)
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path, shards[0])
    assert_nothing_left(tmp_path)


def test_collecting_again_replaces_the_folder(tmp_path, shards):
    (collect(tmp_path, shards[0]) / "stray").write_text("old")
    assert not (collect(tmp_path, shards[0]) / "stray").exists()


def test_missing_and_double_images_are_refused(tmp_path, shards):
    first, second = shards[0]
    for folders in ([first], [first, second, second]):
        with pytest.raises(InputError, match="not complete"):
            collect(tmp_path, folders)
    assert_nothing_left(tmp_path)


def test_tables_that_disagree_with_the_labels_are_refused(tmp_path, shards):
    table = shards[0][1] / "cells.csv"
    pd.read_csv(table).iloc[1:].to_csv(table, index=False)
    with pytest.raises(InputError, match="disagree"):
        collect(tmp_path, shards[0])
    assert_nothing_left(tmp_path)
