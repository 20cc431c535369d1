import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr

import cellcascade
from cellcascade.cli import main
from cellcascade.core.errors import InputError
from cellcascade.data.ngff import write_image
from cellcascade.data.synthetic import open_synthetic
from cellcascade.report.viewer import find_reader
from tests.synthetic import SIZES_UM, scattered, write_set
from tests.unit.data.layouts.writing import ome_zarr, scenes

MANIFEST = Path(cellcascade.__file__).with_name("napari.yaml")


@pytest.fixture
def folder(ndim, tmp_path):
    shape = (40, 50) if ndim == 2 else (20, 40, 50)  # a stack is several chunks deep
    return write_set(tmp_path / "synthetic", [scattered(shape, 5, seed) for seed in range(3)])


def layers_of(path: Path) -> list:
    return find_reader(str(path))(str(path))


def named(path: Path) -> Path:
    """A folder of this name."""
    path.mkdir(parents=True)
    return path


def test_commands_of_the_manifest_are_functions_of_the_package():
    manifest = yaml.safe_load(MANIFEST.read_text())
    commands = {command["id"]: command["python_name"] for command in manifest["contributions"]["commands"]}
    assert manifest["name"] == "cellcascade" and all(name.startswith("cellcascade.") for name in commands)
    (reader,) = manifest["contributions"]["readers"]
    assert reader["accepts_directories"]
    module, function = commands.pop(reader["command"]).split(":")
    assert getattr(importlib.import_module(module), function) is find_reader and not commands


def test_a_folder_is_a_stack_of_its_images_with_labels_in_micrometres(folder, ndim):
    (counts, image, _), (labels, cells, _) = layers = layers_of(folder)
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    source = open_synthetic(folder)
    for index, entry in enumerate(source.images):
        assert np.array_equal(counts[index].compute(), entry.counts())
        assert np.array_equal(labels[index].compute(), entry.labels())
    assert counts.dtype == labels.dtype == np.uint16 and counts.shape == labels.shape
    low, high = image["contrast_limits"]
    assert low < np.median(counts.compute()) < high <= counts.max().compute()
    assert (image["name"], cells["name"]) == ("image", "cells")
    for settings in (image, cells):
        assert settings["scale"] == (1.0, *SIZES_UM[ndim])
        assert settings["axis_labels"] == ("image", *"zyx"[-ndim:])
        assert settings["units"] == ("pixel",) + ("micrometer",) * ndim


def test_an_image_is_read_when_it_is_looked_at(folder):
    reader = find_reader(str(folder))
    (_, _, _), (labels, _, _) = reader(str(folder))
    shutil.rmtree(folder / "img-00002.ome.zarr/labels")
    assert labels[1].any().compute()
    with pytest.raises(InputError, match="image cannot be read") as caught:
        labels[2].compute()
    assert "img-00002" in caught.value.where


def test_one_image_has_no_axis_for_others(folder, ndim):
    (counts, image, _), (labels, cells, kind) = layers_of(folder / "img-00001.ome.zarr")
    entry = open_synthetic(folder).images[1]
    assert np.array_equal(counts.compute(), entry.counts()) and np.array_equal(labels.compute(), entry.labels())
    assert (image["scale"], image["axis_labels"]) == (SIZES_UM[ndim], tuple("zyx"[-ndim:]))
    assert (cells["units"], cells["name"], kind) == (("micrometer",) * ndim, "cells", "labels")


@pytest.mark.parametrize("version", ("0.4", "0.5"))
def test_images_of_both_versions_and_of_several_levels_are_shown_at_full_resolution(tmp_path, version):
    image, labels = scattered((40, 50), 4)
    about = {"voxel_size_um": (0.5, 0.5), "attributes": {"cells": [{}] * 4}, "version": version, "levels": 3}
    write_image(tmp_path / "img-00000.ome.zarr", image, labels, **about)
    (counts, _, _), (cells, _, _) = layers_of(tmp_path / "img-00000.ome.zarr")
    assert np.array_equal(counts.compute(), image) and np.array_equal(cells.compute(), labels)


def test_labels_have_the_bits_that_the_image_with_most_cells_needs(tmp_path):
    many = np.arange(1, 70_001, dtype=np.uint32).reshape(280, 250)
    few = np.eye(280, 250, dtype=np.uint16)
    folder = write_set(tmp_path / "synthetic", [(few, few), (few, many)])
    _, (labels, _, _) = layers_of(folder)
    assert labels.dtype == np.uint32 and np.array_equal(labels[1].compute(), many)
    assert labels[0].compute().dtype == np.uint32


def test_images_of_one_brightness_have_a_window(tmp_path):
    image, labels = np.full((40, 50), 7, np.uint16), scattered((40, 50), 4)[1]
    (_, settings, _), _ = layers_of(write_set(tmp_path / "synthetic", [(image, labels)]))
    assert settings["contrast_limits"] == (7, 8)


def test_a_folder_of_ours_that_is_damaged_says_so(folder):
    shutil.rmtree(folder / "img-00001.ome.zarr")
    reader = find_reader(str(folder))
    with pytest.raises(InputError, match="images are missing"):
        reader(str(folder))


def foreign(place: Path) -> list[Path]:
    """Folders and files of others, some of which look like ours."""
    ome_zarr("0.5")(place / "theirs", *scenes(1))
    zarr.create_array(place / "array.zarr", shape=(4, 4), dtype="u1")
    for number, said in enumerate(({"cellcascade": 5}, {"cellcascade": {"cells": 5}}, {"cellcascade": "text"})):
        zarr.create_group(place / f"{number}.zarr", attributes=said)
    (named(place / "damaged.zarr") / "zarr.json").write_text("{")
    record = {"dataset": "x", "seed": 1, "images": 1, "cells": 1}
    for number, text in enumerate(('{"name": "Dataset001", "numTraining": 5}', "[", json.dumps(record))):
        (named(place / f"tables{number}") / "dataset.json").write_text(text)
        for name in ("manifest.csv", "cells.csv"):
            (place / f"tables{number}" / name).write_text("a,b\n1,2\n")
    (place / "tables2/cells.csv").unlink()  # it alone has a record like ours
    (place / "frame.tif").write_bytes(b"II*\0")
    (place / "store.zarr.zip").write_bytes(b"PK")
    named(place / "empty")
    return sorted(place.iterdir()) + [place / "theirs/img0.ome.zarr"]


def test_what_is_not_ours_is_declined(tmp_path):
    paths = [str(path) for path in foreign(tmp_path)]
    paths += ["", "a" * 5000, "a\0b", str(tmp_path / "nowhere"), "https://example.org/img-00000.ome.zarr"]
    assert [path for path in paths if find_reader(path) is not None] == []


def test_folders_that_may_not_be_looked_into_are_declined(tmp_path):
    closed = named(tmp_path / "closed")
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("this user may look into every folder")
        assert find_reader(str(closed)) is None
    finally:
        closed.chmod(0o700)


def test_several_paths_to_stack_are_declined(folder):
    assert find_reader([str(folder)]) is None


@pytest.mark.skipif(importlib.util.find_spec("napari") is not None, reason="napari is installed here")
def test_without_napari_the_message_says_how_to_get_it(folder, capsys):
    assert main(["preview", str(folder), "--napari"]) == 1
    assert 'pip install -e ".[napari]"' in capsys.readouterr().err
