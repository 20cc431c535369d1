"""The stages from masks to slices: which cells are made, and what becomes of those that cannot be."""

import numpy as np
import pytest
from safetensors.torch import save_file

from cellcascade.config.settings import Multiview, Reconstruction, Shapes
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_json
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.shards import open_shard, write_shard
from cellcascade.diffusion import multiview
from cellcascade.diffusion.multiview_weights import VERSION
from cellcascade.geometry.cameras import CAMERA_SETS
from cellcascade.geometry.raycast import occupancy, surfaces
from cellcascade.geometry.shapes import radius_grids, random_coefficients, view_images
from cellcascade.geometry.slicing import make_slices
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.stage import reconstruct

EDGE = 32
QUICK = {"resolution": EDGE, "steps": 40, "rays": 256, "samples": 32, "cells_at_once": 2}


@pytest.fixture(scope="module")
def cells():
    """Radius grids of three random cells."""
    return radius_grids(np.stack([random_coefficients(Shapes(degree=8), numpy_generator(1, i)) for i in range(3)]))


def shards(folder, radius, *, first=0, reasons=None, cameras="hemisphere", surface="depth"):
    """Shards of masks and of true views; cells with a reason are invalid."""
    cameras = CAMERA_SETS[cameras](8)
    ids, reasons = np.arange(first, first + len(radius), dtype=np.int32), reasons or {}
    valid = np.array([str(cell) not in reasons for cell in ids], np.uint8)
    common = {"cell_id": ids, "valid": valid}
    inside, _ = surfaces(radius, cameras[:0].with_input_view(), 2 * EDGE)
    arrays = {"mask": inside[:, 0].numpy().astype(np.uint8), **common}
    write_shard(folder / "masks.zarr.zip", schema="masks/1", arrays=arrays, attributes={"reasons": reasons})
    arrays = {"views": view_images(radius, cameras, surface, EDGE) * valid[:, None, None, None, None], **common}
    arrays |= {"extrinsics": cameras.extrinsics.numpy(), "intrinsics": cameras.intrinsics.numpy()}
    write_shard(folder / "views.zarr.zip", schema="views/2", arrays=arrays, attributes={"reasons": reasons})
    return str(folder / "views.zarr.zip"), str(folder / "masks.zarr.zip")


def reconstructed(views, masks, store, *, max_invalid_fraction=0.0, **settings):
    block = Reconstruction(**QUICK | settings).model_dump(mode="json")
    chosen = {"settings": block, "shapes": {"degree": 8}, "seed": 0, "device": "cpu", "dataset": "d"}
    reconstruct(views, masks, store=store, max_invalid_fraction=max_invalid_fraction, **chosen)
    return open_shard(store, "volumes/1")


def folder_for(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.mark.parametrize(
    ("cameras", "surface"), [("hemisphere", "depth"), ("hemisphere", "silhouette"), ("syncdreamer", "depth")]
)
def test_volumes_are_the_cells_whose_views_they_are_made_from(cells, tmp_path, cameras, surface):
    given = shards(tmp_path, cells, cameras=cameras, surface=surface)
    shard = reconstructed(*given, tmp_path / "v.zarr.zip", method="visual_hull")
    volumes, truth = shard["sdf"][:] > 0, (occupancy(cells, EDGE) > 0).numpy()
    iou = (volumes & truth).sum((1, 2, 3)) / (volumes | truth).sum((1, 2, 3))
    assert np.median(iou) > (0.9 if cameras == "hemisphere" else 0.8)
    assert shard["valid"][:].all() and shard["reprojection_iou"].shape == (3, 9)
    assert np.median(shard["reprojection_iou"][:]) > 0.9


@pytest.mark.parametrize("method", ["visual_hull", "neus"])
def test_a_number_of_cells_that_batches_do_not_divide_changes_no_cell(cells, tmp_path, method):
    whole = shards(folder_for(tmp_path, "whole"), cells)
    last = shards(folder_for(tmp_path, "last"), cells[2:], first=2)
    together = reconstructed(*whole, tmp_path / "a.zarr.zip", method=method, min_iou=0)
    alone = reconstructed(*last, tmp_path / "b.zarr.zip", method=method, min_iou=0)
    np.testing.assert_array_equal(together["sdf"][2:], alone["sdf"][:])
    np.testing.assert_array_equal(together["reprojection_iou"][2:], alone["reprojection_iou"][:])
    assert together["cell_id"][:].tolist() == [0, 1, 2] and (together["sdf"][:] > 0).any((1, 2, 3)).all()


def test_invalid_cells_are_not_reconstructed_and_their_reasons_go_on_to_the_slices(cells, tmp_path, monkeypatch):
    views, masks = shards(tmp_path, cells, reasons={"1": "fragmented"})
    fitted, hull = [], METHODS["visual_hull"]

    def watched(problem, settings):
        fitted.extend(problem.cell_ids)
        return hull(problem, settings)

    monkeypatch.setitem(METHODS, "visual_hull", watched)
    volumes = reconstructed(views, masks, tmp_path / "v.zarr.zip", method="visual_hull", max_invalid_fraction=0.4)
    assert set(fitted) == {0, 2} and volumes["valid"][:].tolist() == [1, 0, 1]
    make_slices(
        str(tmp_path / "v.zarr.zip"), masks, voxel_size_um=(4.0, 1.0, 1.0), settings={}, store=tmp_path / "s.zarr.zip"
    )
    slices = open_shard(tmp_path / "s.zarr.zip", "slices/1")
    assert slices.attrs["reasons"] == volumes.attrs["reasons"] == {"1": "fragmented"}
    assert slices["valid"][:].tolist() == [1, 0, 1]
    assert slices["n_slices"][1] == 0 and (slices["n_slices"][:][[0, 2]] > 3).all()
    assert not slices["mask"][1].any()


def test_cells_that_disagree_with_their_masks_are_invalid_or_stop_the_job(cells, tmp_path):
    views, masks = shards(tmp_path, cells)
    wrong = shards(folder_for(tmp_path, "other"), cells.flip(0) * 0.6)[0]
    shard = reconstructed(wrong, masks, tmp_path / "v.zarr.zip", method="visual_hull", max_invalid_fraction=1.0)
    assert shard.attrs["reasons"] == dict.fromkeys("012", "reconstruction disagrees with its mask")
    assert not shard["valid"][:].any()
    with pytest.raises(InputError, match=r"3 of 3: \['reconstruction disagrees with its mask'\]"):
        reconstructed(wrong, masks, tmp_path / "w.zarr.zip", method="visual_hull", max_invalid_fraction=0.9)
    assert not (tmp_path / "w.zarr.zip").exists()


def test_a_shard_without_any_usable_mask_goes_through_all_stages(tmp_path):
    masks = np.zeros((3, 2 * EDGE, 2 * EDGE), np.uint8)
    masks[1, :20, 10:20] = masks[2, 5:9, 5:9] = masks[2, 40:50, 40:50] = 1
    arrays = {"mask": masks, "cell_id": np.arange(3, dtype=np.int32), "valid": np.array([0, 1, 1], np.uint8)}
    attributes = {"reasons": {"0": "empty or too small"}}
    write_shard(tmp_path / "masks.zarr.zip", schema="masks/1", arrays=arrays, attributes=attributes)
    given = str(tmp_path / "masks.zarr.zip")
    common = {"seed": 0, "device": "cpu", "dataset": "d", "max_invalid_fraction": 1.0}
    settings = Multiview(views=3, channels=8, volume_channels=8)
    model, views = untrained(tmp_path / "model", settings), str(tmp_path / "views.zarr.zip")
    multiview.sample(model, given, settings=settings.model_dump(mode="json"), store=views, **common)
    reasons = {"0": "empty or too small", "1": "touches the border", "2": "fragmented"}
    assert open_shard(views, "views/2").attrs["reasons"] == reasons
    for method in ("neus", "spharm"):
        store = tmp_path / f"{method}.zarr.zip"
        reconstructed(None if method == "spharm" else views, given, store, method=method, max_invalid_fraction=1.0)
    volumes = open_shard(tmp_path / "neus.zarr.zip", "volumes/1")
    assert volumes.attrs["reasons"] == reasons and not volumes["valid"][:].any() and not (volumes["sdf"][:] > 0).any()
    assert "0" in open_shard(tmp_path / "spharm.zarr.zip", "volumes/1").attrs["reasons"]
    slices = tmp_path / "slices.zarr.zip"
    make_slices(str(tmp_path / "neus.zarr.zip"), given, voxel_size_um=(4.0, 1.0, 1.0), settings={}, store=slices)
    made = open_shard(slices, "slices/1")
    assert made.attrs["reasons"] == reasons and made["n_slices"][:].tolist() == [0, 0, 0]


def untrained(folder, settings):
    """A multiview model with random weights, in a folder as training leaves it."""
    folder.mkdir()
    save_file(multiview.build(settings, 16).state_dict(), folder / "model.safetensors")
    record = {"settings": settings.model_dump(mode="json"), "resolution": 16, "version": VERSION}
    write_json(folder / "config.json", record)
    return str(folder)
