"""Texture measures on drawn cells with known answers, and the table written for a data set."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.cells import CellStack
from cellcascade.data.stores import CROPS, TEXTURES
from cellcascade.metrics import texture
from cellcascade.metrics.compare import COLUMNS
from tests.stores import write_store

SIZE = 48


def disc(radius, size=SIZE):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(y, x) < radius


def cells(count, *, seed, level=100.0, ring=10.0):
    """Noisy discs of varying brightness on a background of 10, with `ring` counts in the ring."""
    generator = np.random.default_rng(seed)
    masks = np.stack([disc(10 + i % 3) for i in range(count)])
    wide = np.stack([disc(13.5 + i % 3) for i in range(count)])
    bright = level * generator.uniform(0.5, 1.5, count)[:, None, None]
    images = np.where(masks, bright, np.where(wide, ring, 10)) + generator.normal(0, 2, masks.shape)
    return np.clip(images, 0, None).round().astype(np.uint16), masks.astype(np.uint8)


def write_crops(path, images, masks, **arrays):
    n = len(images)
    known = {"label": np.arange(1, n + 1), "z": np.full(n, -1), "widest": np.ones(n)}
    return write_store(CROPS, path, {"image": images, "mask": masks, **known, **arrays})


def write_textures(path, images, masks, **arrays):
    image, mask = (array if array.ndim == 4 else array[:, None] for array in (images, masks))
    known = {"n_slices": np.full(len(image), image.shape[1])}
    return write_store(TEXTURES, path, {"image": image, "mask": mask, **known, **arrays})


def compare(folder):
    """Compare the stores of a folder."""
    crops, textures = folder / "crops.zarr.zip", [folder / "a.zarr.zip"]
    tables = {"table": folder / "texture.csv", "cells": folder / "texture_cells.csv"}
    texture.compare_textures(crops=crops, textures=textures, **tables)


def table_of(tmp_path, real, made):
    write_crops(tmp_path / "crops.zarr.zip", *real)
    write_textures(tmp_path / "a.zarr.zip", *made)
    compare(tmp_path)
    return pd.read_csv(tmp_path / "texture.csv").set_index("property")


def test_measures_of_a_drawn_cell_are_known():
    mask = disc(12)
    checks = np.where(np.indices(mask.shape).sum(0) % 2, 90, 110)
    ring = disc(14.9) & ~mask
    image = np.where(mask, checks, np.where(ring, 30, 10))
    row = texture.measure_textures(image[None], mask[None]).iloc[0]
    assert row.intensity_mean == pytest.approx(100, abs=0.5)
    assert row.intensity_std == pytest.approx(10, abs=0.1)
    assert row.ring_mean == pytest.approx(30, abs=2)
    assert row.otsu_iou > 0.9
    assert row.grain == pytest.approx(10, rel=0.1) and row.grain_correlation == pytest.approx(-1, abs=0.1)


def test_the_ring_is_three_pixels_wide():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, :20] = True
    image = np.broadcast_to(np.arange(SIZE), mask.shape)
    assert texture.measure_textures(image[None], mask[None])["ring_mean"].item() == pytest.approx(np.mean([20, 21, 22]))


def test_edge_gradient_of_a_slope_is_its_steepness_and_falls_with_blur():
    mask = disc(12)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    cone = 200 - 5 * np.hypot(y, x)
    assert texture.measure_textures(cone[None], mask[None])["edge_gradient"].item() == pytest.approx(5, rel=0.02)
    sharp, soft = (np.clip((12 - np.hypot(y, x)) * steep, 0, 100) for steep in (50, 10))
    measured = texture.measure_textures(np.stack([sharp, soft]), np.stack([mask, mask]))["edge_gradient"]
    assert measured[0] > 1.5 * measured[1]


def test_otsu_sees_a_cell_that_is_not_where_its_mask_is():
    mask = disc(12)
    image = np.where(np.roll(mask, 12, axis=1), 100, 10)
    assert texture.measure_textures(image[None], mask[None])["otsu_iou"].item() < 0.4


def test_power_of_a_wave_stands_at_its_frequency_whatever_its_direction():
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = np.stack([10 + np.cos(2 * np.pi * 6 * axis / SIZE) for axis in (y, x)])
    power = texture.radial_power(waves)
    assert power.argmax() == 6 and power[6] > 0.999 * power.sum()


def test_spectrum_deviation_is_in_decibels_and_only_where_the_power_is():
    y = np.broadcast_to(np.arange(SIZE)[:, None], (SIZE, SIZE))
    waves = np.array([np.cos(2 * np.pi * k * y / SIZE) for k in (1, 2, 3, 4)])
    images = np.tensordot(np.random.default_rng(0).normal(0, 10, (200, 4)), waves, 1)
    assert texture.spectrum_deviation(images, images) == pytest.approx(0, abs=1e-9)
    assert texture.spectrum_deviation(images, 2 * images) == pytest.approx(20 * np.log10(2))
    fine = np.random.default_rng(1).normal(0, 0.2, images.shape)
    assert (texture.radial_power(images + fine)[6:] > 100 * texture.radial_power(images)[6:]).all()
    assert texture.spectrum_deviation(images, images + fine) < 0.5


def test_slices_correlate_as_their_common_part_says():
    generator = np.random.default_rng(0)
    mask = np.broadcast_to(disc(15), (4, SIZE, SIZE))
    rho = 2.0
    common = generator.normal(size=(50, 1, SIZE, SIZE))
    images = rho * common + generator.normal(size=(50, 4, SIZE, SIZE))
    stacks = [CellStack(image, mask, np.arange(4)) for image in images]
    for apart in (1, 3):
        values = texture.slice_correlations(stacks, apart)
        assert len(values) == 50 and values.mean() == pytest.approx(rho**2 / (1 + rho**2), abs=0.01)


def test_slices_count_at_their_distance_in_z_and_only_where_both_show_the_cell():
    image = np.random.default_rng(0).normal(size=(1, SIZE, SIZE)).repeat(3, 0)
    mask = np.stack([disc(10), disc(10), np.zeros((SIZE, SIZE), bool)])
    stack = CellStack(image, mask, np.array([0, 2, 3]))
    assert texture.slice_correlations([stack], 2) == pytest.approx([1])
    assert len(texture.slice_correlations([stack], 1)) == 0


def test_a_draw_of_the_same_cells_agrees(tmp_path):
    rows = table_of(tmp_path, cells(150, seed=0), cells(150, seed=1))
    assert list(rows.columns) == list(COLUMNS[1:])
    assert (rows.loc[["intensity_mean", "edge_gradient", "otsu_iou"], "w1_over_std"] < 0.3).all()
    assert abs(rows.loc["ring_mean", "shift_over_std"]) < 0.3
    assert rows.loc["otsu_iou", "synthetic_median"] > 0.9
    assert rows.loc["intensity_mean_dim", "n_real"] == 30
    assert rows.loc["power_spectrum_db", "synthetic_mean"] < 1
    assert rows.loc["power_spectrum_db", "n_synthetic"] == 150
    assert not any("slice" in name for name in rows.index)


def test_a_halo_and_too_bright_cells_are_seen(tmp_path):
    rows = table_of(tmp_path, cells(100, seed=0), cells(100, seed=1, level=200, ring=20))
    assert rows.loc["ring_mean", "shift_over_std"] > 1
    assert rows.loc["intensity_mean", "w1_over_std"] > 1
    assert rows.loc["power_spectrum_db", "synthetic_mean"] > 3
    assert rows.loc["intensity_mean_dim", "n_synthetic"] < 20


def test_3d_cells_count_on_their_widest_slice_and_their_slices_are_compared(tmp_path):
    images, masks = cells(12, seed=0)
    masks[::3] = disc(5)  # of each real cell, slices 0, 1 and 2, the first one narrow
    label, z = np.repeat(np.arange(1, 5), 3), np.tile([3, 4, 5], 4)
    write_crops(tmp_path / "crops.zarr.zip", images, masks, label=label, z=z)
    stack = np.stack([disc(4), disc(14), np.zeros((SIZE, SIZE), bool)]).astype(np.uint8)
    bright = np.where(stack, [[[20]], [[70]], [[0]]], 10) + np.random.default_rng(0).integers(0, 5, stack.shape)
    made = bright[None].repeat(2, 0).astype(np.uint16), stack[None].repeat(2, 0)
    write_textures(tmp_path / "a.zarr.zip", *made, n_slices=[2, 2])
    compare(tmp_path)
    rows = pd.read_csv(tmp_path / "texture.csv").set_index("property")
    assert rows.loc["intensity_mean", "n_real"] == 4 and rows.loc["intensity_mean", "n_synthetic"] == 2
    assert rows.loc["intensity_mean", "synthetic_mean"] == pytest.approx(72, abs=0.5)
    assert rows.loc["slice_correlation", "n_real"] == 4 and rows.loc["slice_correlation", "n_synthetic"] == 2
    assert "slice_correlation_2" not in rows.index
    each = pd.read_csv(tmp_path / "texture_cells.csv")
    assert list(each["side"]) == ["real"] * 4 + ["synthetic"] * 2
    for side, found in each.groupby("side"):
        assert found["otsu_iou"].mean() == pytest.approx(rows.loc["otsu_iou", f"{side}_mean"], rel=1e-4)


@pytest.mark.parametrize(("change", "found"), [("invalid", "no valid synthetic cell"), ("empty", "valid cell 0 is")])
def test_unusable_textures_are_input_errors_and_nothing_is_written(tmp_path, change, found):
    images, masks = cells(3, seed=0)
    write_crops(tmp_path / "crops.zarr.zip", images, masks)
    made = masks * 0 if change == "empty" else masks
    write_textures(tmp_path / "a.zarr.zip", images, made, valid=np.full(3, change == "empty"))
    with pytest.raises(InputError, match=found):
        compare(tmp_path)
    assert not list(tmp_path.glob("*.csv"))


def test_other_sizes_of_crops_are_named(tmp_path):
    images, masks = cells(3, seed=0)
    write_crops(tmp_path / "crops.zarr.zip", images, masks)
    write_textures(tmp_path / "a.zarr.zip", images[:, 4:-4, 4:-4], masks[:, 4:-4, 4:-4])
    with pytest.raises(InputError, match="differ in size"):
        compare(tmp_path)
