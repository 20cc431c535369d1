import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.shards import Store
from cellcascade.data.stores import TEXTURES
from cellcascade.population.cell_library import CellLibrary, turned
from tests.stores import write_store
from tests.unit.population.scenes import LEVEL, SIGNAL, SPREAD, write_textures


@pytest.mark.parametrize("ndim, slices", [(2, 1), (3, 5)])
def test_valid_cells_of_all_shards_come_in_the_order_of_their_numbers(tmp_path, ndim, slices):
    shards = write_textures(tmp_path, ndim=ndim, shards=3)
    library = CellLibrary(shards[::-1])
    assert [library.load(i).cell_id for i in range(len(library))] == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert library.height == slices


def test_a_cell_knows_the_background_of_its_crop_and_the_local_mean_around_it(tmp_path):
    cell = CellLibrary(write_textures(tmp_path, cells=3, shards=1)).load(0)
    assert cell.level == pytest.approx(LEVEL, abs=SPREAD / 4)
    assert cell.darkest == pytest.approx(LEVEL - 2.33 * SPREAD, abs=SPREAD)
    outside = cell.around[~cell.mask]
    assert outside.mean() == pytest.approx(LEVEL, abs=SPREAD / 4) and outside.std() < SPREAD / 2
    assert cell.image[cell.mask].mean() == pytest.approx(LEVEL + SIGNAL, abs=SPREAD / 2)


def test_slices_beyond_a_cells_own_are_left_out(tmp_path):
    arrays = {"image": np.full((2, 4, 8, 8), 7), "mask": np.zeros((2, 4, 8, 8)), "n_slices": [4, 2]}
    arrays["mask"][:, :2, 2:5, 2:5] = 1
    library = CellLibrary([write_store(TEXTURES, tmp_path / "t.zarr.zip", arrays)])
    assert [len(library.load(i).mask) for i in (0, 1)] == [4, 2] and library.height == 3


def test_a_cell_that_fills_its_crop_has_the_background_of_the_real_crops(tmp_path):
    arrays = {"image": np.full((1, 1, 8, 8), 50), "mask": np.ones((1, 1, 8, 8)), "n_slices": [1]}
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", arrays, background=12.0)
    assert CellLibrary([store]).load(0).level == 12.0


def test_pixels_are_read_when_a_cell_is_asked_for_and_once(tmp_path, monkeypatch):
    library = CellLibrary(write_textures(tmp_path))
    read, seen = Store.read, []
    monkeypatch.setattr(Store, "read", lambda store, *what: seen.append(what) or read(store, *what))
    assert library.load(3) is library.load(3)
    assert seen == [("image", 4), ("mask", 4)]  # cell 1 is invalid: the fourth valid cell is in row 4


def test_turning_moves_all_of_a_cell_alike(tmp_path):
    cell = CellLibrary(write_textures(tmp_path, ndim=3)).load(2)
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
        CellLibrary([empty])
