"""Crops of stacks: which slices of a cell are cut, of dense and of sparse annotations."""

import shutil

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from tests.ctc_data import (
    BACKGROUND,
    Blob,
    Scene,
    scene_3d,
    write_3d,
    write_sparse_gold,
    write_tiff,
)
from tests.unit.data.cutting import cut, index, raw_crop, write_scene


def test_dense_3d_takes_the_widest_slice(tmp_path):
    crops, table = cut(write_3d(tmp_path / "Toy"), ndim=3, size=40)
    labels = scene_3d().labels()
    assert list(table.loc[0].reason) == ["", "", "touches border"]
    assert crops.z.tolist() == [5, 6, 5, 6]
    assert table.loc[(0, 1), "z"] == 5
    assert table.loc[(0, 1), "area"] == (labels[5] == 1).sum() == crops.mask[0].sum()
    assert crops.record.voxel_size_um == (1.0, 0.5, 0.5)
    assert crops.record.frame_shape == (12, 64, 72)
    assert crops.record.cells_per_frame == (3, 3)


def test_slices_per_cell(tmp_path):
    crops, table = cut(write_3d(tmp_path / "Toy", annotated=(0,)), ndim=3, size=40, slices_per_cell=3)
    one = crops.label == 1
    assert table.kept.sum() == 2
    assert sorted(crops.z[one]) == [2, 5, 8]
    assert crops.widest[one].sum() == 1
    assert crops.z[one][crops.widest[one] == 1] == 5
    labels = scene_3d().labels()
    for z, mask, ratio in zip(crops.z[one], crops.mask[one], crops.area_ratio[one]):
        assert mask.sum() == (labels[z] == 1).sum()
        assert ratio == pytest.approx(mask.sum() / (labels[5] == 1).sum())
    assert len(set(crops.brightness[one])) == 1
    middles = [np.argwhere(mask).mean(0) for mask in crops.mask[one]]
    assert np.ptp(middles, axis=0).max() < 0.5, "slices of a cell share one frame"


def test_cell_cut_by_the_first_slice_is_kept(tmp_path):
    folder = write_scene(tmp_path / "Toy", Blob(1, (0, 32, 36), (5, 9, 9)), shape=(12, 64, 72), dtype=np.uint16)
    crops, table = cut(folder, ndim=3, slices_per_cell=9)
    assert table.loc[(0, 1), "reason"] == ""
    assert crops.z[crops.widest == 1].tolist() == [0]
    assert crops.z.max() >= 3


def test_cells_of_neighbouring_slices_are_removed(tmp_path):
    """A cell that ends one slice below shines into this slice."""
    blobs = [Blob(1, (7, 32, 26), (3, 8, 8)), Blob(2, (2, 32, 44), (4, 7, 7), 200.0)]
    folder = write_scene(tmp_path / "Toy", *blobs, shape=(12, 64, 72), dtype=np.uint16)
    labels = Scene((12, 64, 72), blobs).labels()
    stack = tifffile.imread(folder / "01" / "t000.tif")
    below = (labels[6] == 2) & (labels[7] == 0)
    stack[7][below] += 20
    write_tiff(folder / "01" / "t000.tif", stack)
    crops, _ = cut(folder, ndim=3)
    i = index(crops, 0, 1)
    _, around = raw_crop(labels[7], np.where(below, 2, labels[7]), 1, crops.mask[i])
    assert crops.z[i] == 7 and (around == 2).any()
    assert crops.image[i][around == 2].mean() < BACKGROUND + 10


def test_touching_cells_are_parted_in_their_own_slice(tmp_path):
    """The neighbour begins in the very slice that is cut: the slice below knows nothing of it."""
    blobs = [Blob(1, (6, 32, 26), (4, 8, 8)), Blob(2, (9, 32, 39), (3.1, 8, 8), 200.0)]
    folder = write_scene(tmp_path / "Toy", *blobs, shape=(14, 64, 72), dtype=np.uint16)
    labels = Scene((14, 64, 72), blobs).labels()
    crops, _ = cut(folder, ndim=3)
    i = index(crops, 0, 1)
    assert crops.z[i] == 6 and not (labels[5] == 2).any()
    _, around = raw_crop(labels[6], labels[6], 1, crops.mask[i])
    near = (around == 2) & (ndimage.distance_transform_edt(crops.mask[i] == 0) <= 6)
    assert near.any()
    assert crops.image[i][near].max() < 60


def test_some_slices_of_a_dense_annotation_are_as_good_as_sparse_gold(tmp_path):
    folder = write_3d(tmp_path / "Toy", annotations="GT")
    dense, _ = cut(folder, annotations="GT", ndim=3, size=40, chosen=([0], [4, 7]))
    shutil.rmtree(folder / "01_GT")
    write_sparse_gold(folder, scene=scene_3d(), slices=[(0, 4), (0, 7)])
    sparse, _ = cut(folder, annotations="GT", ndim=3, size=40)
    assert dense.z.tolist() == sparse.z.tolist() == [4, 4, 7, 7]
    for name in ("image", "mask", "widest", "brightness"):
        assert np.array_equal(getattr(dense, name), getattr(sparse, name))
    assert dense.record.cells_per_slice == sparse.record.cells_per_slice


def test_sparse_gold(tmp_path):
    folder = write_3d(tmp_path / "Toy")
    write_sparse_gold(folder, scene=scene_3d(), slices=[(0, 4), (1, 7)], digits=4)
    crops, table = cut(folder, annotations="GT", ndim=3, size=40, slices_per_cell=5)
    labels = scene_3d().labels()
    assert crops.z.tolist() == [4, 4, 7, 7]
    assert crops.frame.tolist() == [0, 0, 1, 1]
    assert crops.widest.tolist() == [1, 1, 1, 1]
    assert crops.mask[0].sum() == (labels[4] == 1).sum()
    assert list(table.z) == [4, 4, 4, 7, 7, 7]
    assert crops.record.cells_per_frame == ()
    assert crops.record.cells_per_slice == (3.0, 3.0)
    assert list(crops.record.cut_by_border) == [
        True,
        *(bool(labels[[4, 7]].take([0, -1], axis).any()) for axis in (1, 2)),
    ]
    assert crops.record.frame_shape == (12, 64, 72)
    inside = crops.mask[0] > 0
    raw, _ = raw_crop(tifffile.imread(folder / "01" / "t000.tif")[4], labels[4], 1, crops.mask[0])
    assert np.array_equal(crops.image[0][inside], raw[inside])


def test_sections_say_how_cells_lie_where_single_slices_are_annotated(tmp_path):
    """Twelve sections in each of two slices: pairs that touch, and pairs with five pixels between them."""
    blobs = []
    for z in (4, 12):
        for number, (y, x) in enumerate((y, x) for y in (30, 90, 150) for x in (30, 110)):
            step = 16 if number % 2 else 21
            blobs += [Blob(len(blobs) + n, (z, y, x + (n - 1) * step), (3, 8, 8)) for n in (1, 2)]
    scene = Scene((16, 180, 180), blobs)
    folder = write_scene(tmp_path / "Toy", *blobs, shape=(16, 180, 180), dtype=np.uint16)
    write_sparse_gold(folder, scene=scene, slices=[(0, 4), (0, 12)])
    sparse = cut(folder, annotations="GT", ndim=3, size=40)[0].record.layout
    assert sparse.touching == (0.5, 0.5)
    whole = cut(folder, ndim=3, size=40)[0].record.layout
    assert whole.touching == (0.5,)
    assert sparse.gap == whole.gap
    near = np.searchsorted(sparse.edges, 18) - 1
    assert sparse.closeness[near] > 1 > sparse.closeness[0]
