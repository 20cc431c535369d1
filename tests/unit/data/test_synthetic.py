import json
import shutil

import numpy as np
import pandas as pd
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.synthetic import open_synthetic
from cellcascade.population.collect import collect_images
from tests.synthetic import scattered, write_set
from tests.unit.population.scenes import make, opened, write_inputs


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path / "synthetic", [scattered((48, 56), 6, seed) for seed in range(3)])


def test_the_folder_that_the_workflow_makes_is_read(tmp_path):
    shard = make(tmp_path / "shard", write_inputs(tmp_path), images=(0, 2))
    record = {"dataset": "test", "seed": 3, "config": {"images": 2}}
    collect_images(population=[shard], sources=[], record=record, folder=tmp_path / "synthetic")
    source = open_synthetic(tmp_path / "synthetic")
    assert (source.ndim, source.anisotropy, source.voxel_size_um) == (2, 1.0, (0.5, 0.5))
    assert source.record.dataset == "test" and source.record.cells == sum(image.cells for image in source.images)
    for index, image in enumerate(source.images):
        counts, labels = opened(tmp_path / "synthetic", index)
        assert image.name == f"img-{index:05d}" and image.cells == labels.max() > 0
        assert np.array_equal(image.counts(), counts) and np.array_equal(image.labels(), labels)


def test_unfinished_folders_are_refused(folder, tmp_path):
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match="no finished folder of synthetic images"):
            open_synthetic(place)
    (folder / "cells.csv").unlink()
    with pytest.raises(InputError, match="no finished folder") as caught:
        open_synthetic(folder)
    assert caught.value.found == "no cells.csv"


def test_missing_images_are_named(folder):
    shutil.rmtree(folder / "img-00001.ome.zarr")
    with pytest.raises(InputError, match="images are missing") as caught:
        open_synthetic(folder)
    assert "img-00001" in caught.value.found


def test_missing_twins_are_named_and_sets_without_have_none(folder, tmp_path):
    assert not open_synthetic(folder).has_twins and open_synthetic(folder).images[0].twin is None
    pairs = [scattered((48, 56), 6, seed) for seed in range(3)]
    twinned = open_synthetic(write_set(tmp_path / "twinned", pairs, twins=True))
    assert twinned.has_twins and np.array_equal(twinned.images[1].twin.labels(), pairs[1][1])
    shutil.rmtree(twinned.images[1].twin.path)
    with pytest.raises(InputError, match="images are missing") as caught:
        open_synthetic(twinned.folder)
    assert "clean/img-00001" in caught.value.found


def test_a_table_that_was_cut_short_is_noticed(folder):
    table = folder / "manifest.csv"
    pd.read_csv(table).iloc[:2].to_csv(table, index=False)
    with pytest.raises(InputError, match="images are missing") as caught:
        open_synthetic(folder)
    assert "2 in manifest.csv, 3 in dataset.json" in caught.value.found


@pytest.mark.parametrize("name, text", (("dataset.json", "{"), ("dataset.json", "{}"), ("manifest.csv", "a,b\n1,2\n")))
def test_damaged_tables_and_records_are_named(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(InputError, match="cannot be read") as caught:
        open_synthetic(folder)
    assert caught.value.where == str(folder / name)


def test_a_damaged_image_is_named(folder):
    source = open_synthetic(folder)
    for path in (folder / "img-00002.ome.zarr/labels").rglob("zarr.json"):
        path.write_text(json.dumps({}))
    with pytest.raises(InputError, match="image cannot be read") as caught:
        source.images[2].labels()
    assert "img-00002" in caught.value.where


def test_images_without_any_cell_are_refused(tmp_path):
    image, labels = scattered((48, 56), 0)
    with pytest.raises(InputError, match="No synthetic image shows a cell"):
        open_synthetic(write_set(tmp_path / "synthetic", [(image, labels)]))
