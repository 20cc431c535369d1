from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.core.errors import InputError
from cellcascade.data.shards import Store
from cellcascade.data.stores import TEXTURES
from cellcascade.population import cell_library
from cellcascade.population.cell_library import CellLibrary, distance_to, turned
from tests.stores import write_store
from tests.unit.population.scenes import LEVEL, SIGNAL, SPREAD, write_textures


@pytest.mark.parametrize("ndim, slices", [(2, 1), (3, 5)])
def test_valid_cells_of_all_shards_come_in_the_order_of_their_numbers(tmp_path, ndim, slices):
    shards = write_textures(tmp_path, ndim=ndim, shards=3)
    library = CellLibrary(shards[::-1], rim=6)
    assert [library.load(i).cell_id for i in range(len(library))] == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert library.height == slices


def test_a_cell_knows_the_background_of_its_crop_and_the_local_mean_around_it(tmp_path):
    cell = CellLibrary(write_textures(tmp_path, cells=3, shards=1), rim=6).load(0)
    assert cell.level == pytest.approx(LEVEL, abs=SPREAD / 4)
    assert cell.darkest == pytest.approx(LEVEL - 2.33 * SPREAD, abs=SPREAD)
    outside = cell.around[~cell.mask]
    assert outside.mean() == pytest.approx(LEVEL, abs=SPREAD / 4) and outside.std() < SPREAD / 2
    assert cell.image[cell.mask].mean() == pytest.approx(LEVEL + SIGNAL, abs=SPREAD / 2)


def test_slices_beyond_a_cells_own_are_left_out(tmp_path):
    arrays = {"image": np.full((2, 4, 8, 8), 7), "mask": np.zeros((2, 4, 8, 8)), "n_slices": [4, 2]}
    arrays["mask"][:, :2, 2:5, 2:5] = 1
    library = CellLibrary([write_store(TEXTURES, tmp_path / "t.zarr.zip", arrays)], rim=6)
    assert [len(library.load(i).mask) for i in (0, 1)] == [4, 2] and library.height == 3


def test_a_cell_that_fills_its_crop_has_the_background_of_the_real_crops(tmp_path):
    arrays = {"image": np.full((1, 1, 8, 8), 50), "mask": np.ones((1, 1, 8, 8)), "n_slices": [1]}
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", arrays, background=12.0)
    assert CellLibrary([store], rim=6).load(0).level == 12.0


def test_pixels_are_read_when_a_cell_is_asked_for_and_once(tmp_path, monkeypatch):
    library = CellLibrary(write_textures(tmp_path), rim=6)
    read, seen = Store.read, []
    monkeypatch.setattr(Store, "read", lambda store, *what: seen.append(what) or read(store, *what))
    assert library.load(3) is library.load(3)
    assert seen == [("image", 4), ("mask", 4)]  # cell 1 is invalid: the fourth valid cell is in row 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_as_much_of_a_crop_is_kept_as_is_seen(tmp_path, ndim):
    shards = write_textures(tmp_path, ndim=ndim, size=64)
    library, whole = CellLibrary(shards, rim=8), CellLibrary(shards, rim=100)
    for index in range(len(library)):
        cell, full = library.load(index), whole.load(index)
        assert full.start == (0, 0, 0) and full.mask.shape == full.crop == cell.crop
        place = tuple(slice(start, start + n) for start, n in zip(cell.start, cell.mask.shape))
        for name in ("image", "around", "mask"):
            assert np.array_equal(getattr(cell, name), getattr(full, name)[place])
        assert cell.mask.sum() == full.mask.sum() and cell.mask.size < full.mask.size
        rows, columns = (np.flatnonzero(cell.mask.any((0, axis))) for axis in (2, 1))
        assert rows[0] == columns[0] == 8 or 0 in cell.start[1:]
        assert (cell.level, cell.darkest, cell.cell_id) == (full.level, full.darkest, full.cell_id)


def test_what_is_kept_and_what_is_open_is_bounded(tmp_path, monkeypatch):
    shards = write_textures(tmp_path, shards=5, cells=30)
    monkeypatch.setattr(cell_library, "KEPT", 50_000)
    monkeypatch.setattr(cell_library, "OPEN", 2)
    library, held = CellLibrary(shards, rim=6), Path("/proc/self/fd")
    for index in (*range(29), *range(28, -1, -1)):
        assert library.load(index).cell_id == index + (index > 0)
        assert 0 < sum(cell.nbytes for cell in library._kept.values()) <= 50_000
        assert len({path.resolve() for path in held.iterdir()} & set(shards)) <= 2
    assert len(library._kept) > 1


@pytest.mark.parametrize("shape", [(1, 20, 24), (5, 20, 24)])
def test_distance_to_a_mask(shape):
    mask = np.random.default_rng(0).random(shape) > 0.98
    expected = ndimage.distance_transform_edt(~mask, sampling=(2.5, 1, 1))
    assert distance_to(mask, (2.5, 1.0, 1.0)) == pytest.approx(expected, rel=1e-6)


def test_an_empty_cell_is_named(tmp_path):
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", {"image": np.full((1, 1, 8, 8), 5), "n_slices": [1]})
    with pytest.raises(InputError, match="valid cell 0 is empty"):
        CellLibrary([store], rim=6).load(0)


def test_turning_moves_the_place_in_the_crop_with_the_cell(tmp_path):
    shards = write_textures(tmp_path, ndim=3)
    cell, full = (CellLibrary(shards, rim=rim).load(2) for rim in (0, 100))
    for index in range(60):
        (part, name), (whole, same) = (turned(each, np.random.default_rng(index)) for each in (cell, full))
        place = tuple(slice(start, start + n) for start, n in zip(part.start, part.mask.shape))
        assert name == same and part.crop == whole.mask.shape
        assert np.array_equal(whole.mask[place], part.mask) and part.mask.sum() == whole.mask.sum()
    assert cell.mask.shape[1] != cell.mask.shape[2] or cell.start[1] != cell.start[2]


def test_turning_moves_all_of_a_cell_alike(tmp_path):
    cell = CellLibrary(write_textures(tmp_path, ndim=3), rim=6).load(2)
    names = set()
    for index in range(200):
        other, name = turned(cell, np.random.default_rng(index))
        names.add(name)
        assert np.array_equal(other.image > LEVEL + SIGNAL / 2, other.mask)
        assert np.sort(other.image, axis=None).tolist() == np.sort(cell.image, axis=None).tolist()
    assert {"rot0", "rot90-mirror", "rot270-mirror-upside"} <= names and len(names) == 16


def test_shards_without_valid_cells_are_refused(tmp_path):
    empty = write_store(TEXTURES, tmp_path / "empty.zarr.zip", {"cell_id": np.arange(2), "valid": np.zeros(2)})
    with pytest.raises(InputError, match="no cell to place"):
        CellLibrary([empty], rim=6)
