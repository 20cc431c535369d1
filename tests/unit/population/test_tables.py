import numpy as np
import pandas as pd
import pytest
import zarr

from cellcascade.population.tables import CellRow, ImageRow, cell_columns, write_tables
from tests.unit.population.scenes import make, opened, write_inputs


def cell(label, *, clustered=False, ndim=2):
    return CellRow(label, (1.0,) * ndim, 30, 7.5, 12.25, False, clustered, 4, "rot90")


@pytest.mark.parametrize("ndim", (2, 3))
def test_columns_say_what_they_hold_in_both_dimensions(ndim):
    row = cell(3, ndim=ndim).by_column()
    assert list(row) == cell_columns(ndim)
    size = {2: ("area_px", "area_um2"), 3: ("volume_voxels", "volume_um3")}[ndim]
    assert [row[name] for name in size] == [30, 7.5] and ("centroid_z_um" in row) == (ndim == 3)
    assert (row["label"], row["mean_counts"], row["source_cell"], row["turn"]) == (3, 12.25, 4, "rot90")


def test_an_image_counts_its_cells_in_the_table_and_lists_them_in_its_attributes():
    image = ImageRow("img-00007", 5, 2, [cell(1), cell(2, clustered=True)])
    assert image.by_column() == {"image": "img-00007", "seed": 5, "cells": 2, "not_placed": 2, "clustered": 1}
    about = image.attributes("CE")
    assert about["dataset"] == "CE" and [row["label"] for row in about["cells"]] == [1, 2]
    assert {name: about[name] for name in ("image", "seed", "not_placed", "clustered")} == {
        "image": "img-00007",
        "seed": 5,
        "not_placed": 2,
        "clustered": 1,
    }


def test_tables_without_cells_keep_their_columns(tmp_path):
    write_tables(tmp_path, [ImageRow("img-00000", 5, 0, [])], 3)
    assert list(pd.read_csv(tmp_path / "cells.csv").columns) == ["image", *cell_columns(3)]
    assert pd.read_csv(tmp_path / "images.csv")["cells"].tolist() == [0]


def test_more_than_255_cells_have_their_own_labels(tmp_path):
    inputs = write_inputs(tmp_path, shape=(700, 700), size=16)
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(400, 400))
    _, labels = opened(folder)
    cells = pd.read_csv(folder / "cells.csv")
    assert labels.dtype == np.uint16 and labels.max() > 255
    assert list(np.unique(labels[labels > 0])) == list(cells["label"])


def test_attributes_name_seed_and_source_cells_and_skip_invalid_ones(tmp_path):
    folder = make(tmp_path / "out", write_inputs(tmp_path), images=(0, 1), cells_per_image=(30, 30))
    facts = zarr.open_group(folder / "img-00000.ome.zarr", mode="r").attrs["cellcascade"]
    table = pd.read_csv(folder / "cells.csv")
    assert [cell["source_cell"] for cell in facts["cells"]] == list(table["source_cell"])
    assert facts["seed"] == pd.read_csv(folder / "images.csv")["seed"][0]
    assert 1 not in set(table["source_cell"]) and table["source_cell"].nunique() > 3
