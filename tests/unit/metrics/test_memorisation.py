"""Memorised cells are found, fresh ones are not suspected."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.data.stores import MASKS
from cellcascade.metrics import memorisation
from cellcascade.metrics.memorisation import aligned_cells, aligned_masks, correlation_distances, iou_distances
from tests.stores import write_store
from tests.unit.metrics.test_texture import write_crops, write_textures

SIZE = 40


@cache
def draw(count, seed):
    """Irregular cells `(n, y, x)` with a smooth texture, off the middle."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    images, masks = [], []
    for _ in range(count):
        centre, phase = generator.uniform(17, 22, 2), generator.uniform(0, 2 * np.pi, 3)
        angle = np.arctan2(y - centre[0], x - centre[1])
        waves = sum(a * np.cos(k * angle + p) for k, a, p in zip((2, 3, 4), generator.normal(0, 0.12, 3), phase))
        mask = np.hypot(y - centre[0], x - centre[1]) < 10 * (1 + waves)
        texture = ndimage.gaussian_filter(generator.normal(0, 1, mask.shape), 2)
        images.append(np.where(mask, 100 + 300 * texture, 10))
        masks.append(mask)
    return np.clip(images, 0, None).astype(np.uint16), np.array(masks, np.uint8)


def copies(images, masks, seed=9):
    """The cells moved, turned and flipped."""
    generator = np.random.default_rng(seed)
    made = []
    for cell in zip(images, masks):
        move, turns = generator.integers(-4, 5, 2), int(generator.integers(4))
        flip = slice(None, None, -1 if generator.integers(2) else None)
        made.append([np.rot90(np.roll(plane, move, (0, 1)), turns)[:, flip] for plane in cell])
    return tuple(np.array(side) for side in zip(*made))


def table_of(folder, made, test=None):
    write_crops(folder / "crops.zarr.zip", *draw(300, 0))
    write_crops(folder / "test.zarr.zip", *(test or draw(200, 1)))
    write_store(MASKS, folder / "masks.zarr.zip", {"mask": made[1]})
    write_textures(folder / "textures.zarr.zip", *made)
    memorisation.compare_memorisation(
        crops=folder / "crops.zarr.zip",
        test_crops=folder / "test.zarr.zip",
        masks=[folder / "masks.zarr.zip"],
        textures=[folder / "textures.zarr.zip"],
        table=folder / "memorisation.csv",
    )
    return pd.read_csv(folder / "memorisation.csv").set_index("what")


def test_alignment_undoes_a_shift_and_fits_into_32_pixels():
    images, masks = draw(5, 0)
    moved = np.roll(masks, (3, -4), (1, 2))
    small = aligned_masks(masks)
    assert small.shape == (5, 20, 20)
    assert (small == aligned_masks(moved)).all()
    assert ndimage.center_of_mass(small[0]) == pytest.approx((9.5, 9.5), abs=0.3)
    assert np.allclose(aligned_cells(images, masks), aligned_cells(np.roll(images, (3, -4), (1, 2)), moved), atol=1e-5)


def test_sizes_that_do_not_divide_are_filled_up():
    mask = np.zeros((1, 67, 67))
    mask[0, 5:25, 40:60] = 1
    small = aligned_masks(mask)
    assert small.shape == (1, 23, 23)
    assert small.sum() == pytest.approx(400 / 9, rel=0.15)


def test_distances_are_those_of_their_definitions():
    a, b = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1]], bool)
    assert iou_distances(a, b)[0] == pytest.approx([2 / 3, 0, 1])
    generator = np.random.default_rng(0)
    cells = generator.normal(size=(3, 50))
    cells -= cells.mean(1, keepdims=True)
    unit = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    assert correlation_distances(unit, unit) == pytest.approx(1 - np.corrcoef(cells))


def test_brightness_and_contrast_of_a_cell_do_not_count():
    images, masks = draw(2, 3)
    changed = images * 3 + 50
    assert np.allclose(aligned_cells(images, masks), aligned_cells(changed, masks), atol=1e-5)


def test_nearest_finds_every_rotation_and_flip():
    images, masks = draw(4, 0)
    cells = aligned_cells(images, masks)
    for turned in (np.rot90(flipped, k, (1, 2)) for flipped in (cells, cells[:, ::-1]) for k in range(4)):
        assert memorisation.nearest(turned, [cells], correlation_distances) == pytest.approx(0, abs=1e-5)
    assert (memorisation.nearest(aligned_cells(*draw(4, 5)), [cells], correlation_distances) > 0.1).all()


def test_memorised_cells_are_found_and_fresh_ones_are_not_suspected(tmp_path):
    rows = table_of(tmp_path, copies(*draw(100, 0)))
    assert (rows.share_synthetic > 0.98).all() and (rows.excess > 0.9).all()
    assert (rows.nearest_synthetic_median < rows.threshold).all() and (rows.nearest_ratio < 0.2).all()
    fresh = table_of(tmp_path, draw(300, 2))
    assert (fresh.share_synthetic < 0.12).all()
    assert fresh.nearest_ratio.tolist() == pytest.approx([1, 1], abs=0.2)
    assert fresh.share_real.tolist() == pytest.approx([0.05, 0.05], abs=0.006)
    assert fresh.loc["mask", ["n_synthetic", "n_real_test", "n_train"]].tolist() == [300, 200, 300]


def test_few_test_cells_have_a_ratio_and_no_excess(tmp_path):
    rows = table_of(tmp_path, draw(30, 2), test=draw(19, 1))
    assert rows.excess.isna().all() and rows.nearest_ratio.tolist() == pytest.approx([1, 1], abs=0.3)


def test_a_memorised_half_counts_half(tmp_path):
    old, new = copies(*draw(60, 0)), draw(60, 2)
    rows = table_of(tmp_path, tuple(np.concatenate(side) for side in zip(old, new)))
    assert rows.share_synthetic.tolist() == pytest.approx([0.53, 0.53], abs=0.06)


def test_other_sizes_and_empty_masks_name_their_file(tmp_path):
    images, masks = draw(5, 2)
    with pytest.raises(InputError, match=r"test\.zarr\.zip"):
        table_of(tmp_path, (images, masks), test=tuple(side[:, 2:-2, 2:-2] for side in draw(5, 1)))
    with pytest.raises(InputError, match=r"masks\.zarr\.zip"):
        table_of(tmp_path, (images, masks * np.array([1, 1, 0, 1, 1], "u1")[:, None, None]))
    assert not (tmp_path / "memorisation.csv").exists()
