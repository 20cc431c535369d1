import numpy as np
import pytest
from scipy import ndimage

from cellcascade.population import placement
from cellcascade.population.canvas import Canvas
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.placement import Rules, place_cells
from tests.unit.population.scenes import write_textures


def dense(tmp_path, share, shape=(1, 200, 200), *, size=32, gap=1, cut=(True, True, True), seed=0):
    """A field of as many cells as together are so large a share of it."""
    library = CellLibrary(write_textures(tmp_path, ndim=2 if shape[0] == 1 else 3, cells=30, size=size), rim=6)
    canvas = Canvas(shape, spacing=(1.0 if shape[0] == 1 else 2.0, 1.0, 1.0), gap=gap, reach=10, cut=cut)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(library), size=round(share * np.prod(shape) / library.volume)).tolist()
    placed = place_cells(library, canvas, chosen, rules=Rules(0.5, 10, gap), generator=generator)
    return canvas, placed, chosen


def check(canvas, placed, gap):
    """Every cell is where it is said to be, whole but for the border, and as far from others as it must be."""
    seen = np.zeros(canvas.shape, int)
    for item in placed:
        voxels = np.argwhere(item.cell.mask) + item.corner
        voxels = voxels[((voxels >= 0) & (voxels < canvas.shape)).all(1)]
        seen[tuple(voxels.T)] += 1
        assert len(voxels) and (canvas.labels[tuple(voxels.T)] == item.label).all()
    assert seen.max() == 1 and np.array_equal(seen > 0, canvas.labels > 0)
    for label in range(1, len(placed) + 1):
        around = ndimage.maximum_filter(canvas.labels == label, (1, 2 * gap + 1, 2 * gap + 1))
        assert set(np.unique(canvas.labels[around])) <= {0, label}


def test_cells_that_find_no_place_make_the_others_move(tmp_path, monkeypatch):
    canvas, placed, chosen = dense(tmp_path, 0.55, (1, 320, 320), size=64, cut=(True, False, False))
    monkeypatch.setattr(placement, "with_room", lambda canvas, cells, placed, left, generator: placed)
    _, unmoved, _ = dense(tmp_path, 0.55, (1, 320, 320), size=64, cut=(True, False, False))
    assert len(unmoved) < len(placed) <= len(chosen)
    assert [item.label for item in placed] == list(range(1, len(placed) + 1))
    check(canvas, placed, gap=1)


def test_more_cells_than_there_is_room_for_are_left_out(tmp_path):
    canvas, placed, chosen = dense(tmp_path, 1.6, shape=(1, 120, 130))
    assert 0 < len(placed) < len(chosen)
    check(canvas, placed, gap=1)


@pytest.mark.parametrize("shape", ((1, 110, 110), (12, 60, 60)))
def test_dense_fields_are_the_same_again_and_stay_within_borders_that_cut_none(tmp_path, shape):
    cut = (shape[0] == 1, False, False)
    share = 0.6 if shape[0] == 1 else 0.35
    canvas, placed, _ = dense(tmp_path, share, shape, cut=cut)
    check(canvas, placed, gap=1)
    assert not any(canvas.labels.take([0, -1], axis).any() for axis in range(3) if shape[axis] > 1)
    again, _, _ = dense(tmp_path, share, shape, cut=cut)
    assert np.array_equal(canvas.labels, again.labels)
