"""Shape measures on drawn objects with known answers, and the table written for a data set."""

import time

import numpy as np
import pandas as pd
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.stores import CROPS, MASKS
from cellcascade.metrics.shape import compare_shapes, measure_shapes, roughness
from tests.stores import write_store

COLUMNS = ["property", "real_mean", "real_std", "synthetic_mean", "synthetic_std", "w1_over_std"]


def ellipse(a, b, size=64):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return ((x / a) ** 2 + (y / b) ** 2 < 1).astype(np.uint8)


def discs(radii):
    return np.stack([ellipse(r, r) for r in radii])


def write_masks(path, masks, **arrays):
    return write_store(MASKS, path, {"mask": masks, **arrays})


def write_crops(path, masks, widest):
    return write_store(CROPS, path, {"mask": masks, "widest": np.asarray(widest, "u1")})


def test_measures_of_an_ellipse_are_those_of_geometry():
    row = measure_shapes([ellipse(24, 12)]).iloc[0]
    assert row.area == pytest.approx(np.pi * 24 * 12, rel=0.01)
    assert row.eccentricity == pytest.approx(np.sqrt(1 - 0.25), abs=0.01)
    assert row.solidity > 0.96
    assert row.major_axis_length == pytest.approx(48, rel=0.02)


def test_a_dent_lowers_solidity_and_area_counts_pixels():
    square = np.zeros((32, 32), np.uint8)
    square[4:24, 4:24] = 1
    dented = square.copy()
    dented[4:14, 10:18] = 0
    whole, cut = measure_shapes([square, dented]).itertuples(index=False)
    assert whole.area == 400 and cut.area == 320
    assert whole.solidity == pytest.approx(1)
    assert cut.solidity == pytest.approx(320 / 400)


def waved(radius, height, waves, size=128):
    """A disc whose radius goes up and down by `height` pixels, so many times per turn."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return (np.hypot(y, x) < radius + height * np.sin(waves * np.arctan2(y, x))).astype(np.uint8)


def test_roughness_is_the_height_of_fine_waves_alone():
    smooth, form, rough = measure_shapes([waved(40, 0, 0), waved(40, 2, 4), waved(40, 2, 12)])["roughness"]
    assert smooth < 0.2 and form < 0.35
    assert rough == pytest.approx(2 / np.sqrt(2), rel=0.15)


def test_roughness_is_the_same_upside_down():
    mask = waved(30, 1.5, 11)
    assert roughness(mask[::-1]) == pytest.approx(roughness(mask), rel=0.02)


def test_an_empty_mask_is_named():
    with pytest.raises(ValueError, match="mask 1 is empty"):
        measure_shapes([ellipse(5, 5), np.zeros((8, 8))])


def test_hundreds_of_masks_take_less_than_two_seconds():
    masks = np.stack([ellipse(30 + i % 20, 25, size=128) for i in range(300)])
    began = time.process_time()
    measure_shapes(masks)
    assert time.process_time() - began < 2


def compare(folder, shards):
    """Compare shards with the crops of a folder."""
    tables = {"table": folder / "shape.csv", "cells": folder / "shape_cells.csv"}
    compare_shapes(crops=folder / "crops.zarr.zip", masks=shards, **tables)


def test_what_was_measured_is_written_cell_by_cell(tmp_path):
    write_crops(tmp_path / "crops.zarr.zip", discs([10, 30, 14]), [1, 0, 1])
    compare(tmp_path, [write_masks(tmp_path / "a.zarr.zip", discs([12, 11, 9]), valid=[1, 0, 1])])
    cells = pd.read_csv(tmp_path / "shape_cells.csv")
    assert list(cells["side"]) == ["real"] * 2 + ["synthetic"] * 2
    assert list(cells["area"]) == [ellipse(r, r).sum() for r in (10, 14, 12, 9)]
    measured = measure_shapes(discs([10, 14, 12, 9]))
    assert list(cells.columns) == ["side", *measured.columns]
    assert cells[measured.columns].to_numpy() == pytest.approx(measured.to_numpy(), rel=1e-5)


def test_table_counts_widest_crops_and_valid_masks_alone(tmp_path):
    write_crops(tmp_path / "crops.zarr.zip", discs([10, 12, 30, 14]), [1, 1, 0, 1])
    made = np.concatenate([discs([10, 12]), np.zeros((1, 64, 64), "u1")])
    shards = [write_masks(tmp_path / "a.zarr.zip", made, valid=[1, 1, 0])]
    shards.append(write_masks(tmp_path / "b.zarr.zip", discs([14])))
    compare(tmp_path, shards)
    table = pd.read_csv(tmp_path / "shape.csv")
    assert list(table.columns) == [*COLUMNS, "n_real", "n_synthetic"]
    assert list(table["property"])[:3] == ["area", "eccentricity", "solidity"]
    assert (table["n_real"] == 3).all() and (table["n_synthetic"] == 3).all()
    areas = [ellipse(r, r).sum() for r in (10, 12, 14)]
    area = table.set_index("property").loc["area"]
    assert area.real_mean == pytest.approx(np.mean(areas), rel=1e-5)
    assert area.w1_over_std == pytest.approx(0, abs=1e-9)


def test_nothing_valid_is_an_input_error_and_writes_nothing(tmp_path):
    write_crops(tmp_path / "crops.zarr.zip", discs([10]), [1])
    write_masks(tmp_path / "a.zarr.zip", discs([10]), valid=[0])
    with pytest.raises(InputError, match="no valid synthetic cell"):
        compare(tmp_path, [tmp_path / "a.zarr.zip"])
    assert not list(tmp_path.glob("*.csv"))


def test_an_empty_mask_marked_valid_names_its_shard(tmp_path):
    write_crops(tmp_path / "crops.zarr.zip", discs([10]), [1])
    write_masks(tmp_path / "a.zarr.zip", np.zeros((1, 64, 64), "u1"))
    with pytest.raises(InputError, match=r"(?s)a\.zarr\.zip.*valid mask 0 is empty"):
        compare(tmp_path, [tmp_path / "a.zarr.zip"])


def test_masks_of_another_size_than_the_crops_name_their_shard(tmp_path):
    write_crops(tmp_path / "crops.zarr.zip", discs([10]), [1])
    masks = write_masks(tmp_path / "a.zarr.zip", discs([10])[:, 4:-4, 4:-4])
    with pytest.raises(InputError, match=r"(?s)differ in size.*a\.zarr\.zip"):
        compare(tmp_path, [masks])
