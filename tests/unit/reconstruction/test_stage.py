"""The stage `volumes`: which cells are made, and what becomes of those that cannot be."""

import numpy as np
import pytest
import torch

from cellcascade.config.settings import Reconstruction, Shapes
from cellcascade.core.errors import InputError
from cellcascade.data.stores import MASKS, VIEWS, VOLUMES
from cellcascade.geometry.cameras import CAMERA_SETS, hemisphere
from cellcascade.geometry.raycast import occupancy, surfaces
from cellcascade.geometry.shapes import view_images
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.stage import make_volumes
from tests.stores import write_store
from tests.unit.bodies import EDGE, ious, random_bodies, seen_by

QUICK = {"resolution": EDGE, "steps": 40, "rays": 256, "samples": 32, "cells_at_once": 2}


@pytest.fixture(scope="module")
def cells():
    """Radius grids of three random cells."""
    return random_bodies(3)


def write_masks(folder, masks, *, first=0, reasons=None):
    """A shard of masks; cells with a reason are invalid."""
    ids, reasons = np.arange(first, first + len(masks)), reasons or {}
    arrays = {"mask": masks, "cell_id": ids, "valid": [cell not in reasons for cell in ids]}
    return write_store(MASKS, folder / "masks.zarr.zip", arrays, reasons=reasons)


def write_views(folder, views, cameras, *, first=0, reasons=None):
    """A shard of views; cells with a reason are invalid and show nothing."""
    ids, reasons = np.arange(first, first + len(views)), reasons or {}
    valid = np.array([cell not in reasons for cell in ids])
    arrays = {"views": views * valid[:, None, None, None, None], "cell_id": ids, "valid": valid}
    arrays |= {"extrinsics": cameras.extrinsics.numpy(), "intrinsics": cameras.intrinsics.numpy()}
    return write_store(VIEWS, folder / "views.zarr.zip", arrays, reasons=reasons)


def shards(folder, radius, *, first=0, reasons=None, cameras="hemisphere", surface="depth"):
    """Shards of true views and of the masks that they belong to."""
    folder.mkdir(exist_ok=True)
    cameras, which = CAMERA_SETS[cameras](8), {"first": first, "reasons": reasons}
    inside, _ = surfaces(radius, cameras[:0].with_input_view(), 2 * EDGE)
    views = write_views(folder, view_images(radius, cameras, surface, EDGE), cameras, **which)
    return views, write_masks(folder, inside[:, 0].numpy(), **which)


def reconstructed(views, masks, store, *, max_invalid_fraction=0.0, dataset="d", seeded_as="d", seed=0, **settings):
    """The volumes of a shard."""
    make_volumes(
        views=views,
        masks=masks,
        settings=Reconstruction(**QUICK | settings),
        shapes=Shapes(degree=8),
        store=store,
        dataset=dataset,
        seeded_as=seeded_as,
        seed=seed,
        device="cpu",
        max_invalid_fraction=max_invalid_fraction,
    )
    return VOLUMES.open(store)


@pytest.mark.parametrize(
    ("cameras", "surface"), [("hemisphere", "depth"), ("hemisphere", "silhouette"), ("syncdreamer", "depth")]
)
def test_volumes_are_the_cells_whose_views_they_are_made_from(cells, tmp_path, cameras, surface):
    given = shards(tmp_path, cells, cameras=cameras, surface=surface)
    made = reconstructed(*given, tmp_path / "v.zarr.zip", method="visual_hull")
    volumes, truth = torch.from_numpy(made["sdf"] > 0), occupancy(cells, EDGE) > 0
    assert np.median(ious(volumes, truth)) > (0.9 if cameras == "hemisphere" else 0.8)
    assert made["valid"].all() and made["reprojection_iou"].shape == (3, 9)
    assert np.median(made["reprojection_iou"]) > 0.9


@pytest.mark.parametrize("method", ["visual_hull", "neus"])
def test_a_number_of_cells_that_batches_do_not_divide_changes_no_cell(cells, tmp_path, method):
    whole = shards(tmp_path / "whole", cells)
    last = shards(tmp_path / "last", cells[2:], first=2)
    together = reconstructed(*whole, tmp_path / "a.zarr.zip", method=method, min_iou=0)
    alone = reconstructed(*last, tmp_path / "b.zarr.zip", method=method, min_iou=0)
    np.testing.assert_array_equal(together["sdf"][2:], alone["sdf"])
    np.testing.assert_array_equal(together["reprojection_iou"][2:], alone["reprojection_iou"])
    assert together["cell_id"].tolist() == [0, 1, 2] and (together["sdf"] > 0).any((1, 2, 3)).all()


def test_invalid_cells_are_not_reconstructed_and_their_reasons_go_on(cells, tmp_path, monkeypatch):
    views, masks = shards(tmp_path, cells, reasons={1: "fragmented"})
    fitted, hull = [], METHODS["visual_hull"]

    def watched(problem, settings):
        fitted.extend(problem.cell_ids)
        return hull(problem, settings)

    monkeypatch.setitem(METHODS, "visual_hull", watched)
    made = reconstructed(views, masks, tmp_path / "v.zarr.zip", method="visual_hull", max_invalid_fraction=0.4)
    assert set(fitted) == {0, 2} and made["valid"].tolist() == [1, 0, 1]
    assert made.record.reasons == {1: "fragmented"}
    assert not (made["sdf"][1] > 0).any() and not made["reprojection_iou"][1].any()


def test_cells_that_disagree_with_their_masks_are_invalid_or_stop_the_job(cells, tmp_path):
    _, masks = shards(tmp_path, cells)
    wrong, _ = shards(tmp_path / "other", cells.flip(0) * 0.6)
    made = reconstructed(wrong, masks, tmp_path / "v.zarr.zip", method="visual_hull", max_invalid_fraction=1.0)
    assert made.record.reasons == dict.fromkeys(range(3), "reconstruction disagrees with its mask")
    assert not made["valid"].any()
    with pytest.raises(InputError, match=r"3 of 3: \['reconstruction disagrees with its mask'\]"):
        reconstructed(wrong, masks, tmp_path / "w.zarr.zip", method="visual_hull", max_invalid_fraction=0.9)
    assert not (tmp_path / "w.zarr.zip").exists()


def test_a_shard_without_any_usable_mask_has_volumes_of_nothing(tmp_path):
    masks = np.zeros((3, 2 * EDGE, 2 * EDGE))
    masks[1, :20, 10:20] = masks[2, 5:9, 5:9] = masks[2, 40:50, 40:50] = 1
    reasons = {0: "empty or too small", 1: "touches the border", 2: "fragmented"}
    given = write_masks(tmp_path, masks, reasons={0: reasons[0]})
    views = write_views(tmp_path, np.zeros((3, 8, 3, EDGE, EDGE)), hemisphere(8), reasons=reasons)
    made = reconstructed(views, given, tmp_path / "neus.zarr.zip", max_invalid_fraction=1.0)
    assert made.record.reasons == reasons and not made["valid"].any() and not (made["sdf"] > 0).any()
    drawn = reconstructed(None, given, tmp_path / "s.zarr.zip", method="spharm", max_invalid_fraction=1.0)
    assert drawn.record.reasons[0] == reasons[0] and not (drawn["sdf"][0] > 0).any()


def test_a_cell_that_diverged_is_invalid_with_its_reason_and_the_others_are_kept(tmp_path):
    cameras = hemisphere(8)
    given, truth = seen_by(cameras.with_input_view(), random_bodies(3))
    silhouettes = given.images[:, 1:, None].numpy().copy()
    silhouettes[1, 4] = np.nan
    views = write_views(tmp_path, silhouettes, cameras)
    masks = write_masks(tmp_path, (given.images[:, 0] > 0).numpy())
    settings = {"section_weight": 0.0, "smoothness": 0.1, "steps": 60, "samples": 24, "cells_at_once": 3}
    made = reconstructed(views, masks, tmp_path / "v.zarr.zip", max_invalid_fraction=0.5, **settings)
    assert made["valid"].tolist() == [1, 0, 1] and made.record.reasons == {1: "reconstruction diverged"}
    assert np.isfinite(made["sdf"]).all() and not (made["sdf"][1] > 0).any()
    assert ious(torch.from_numpy(made["sdf"])[[0, 2]], truth[[0, 2]]).min() > 0.9


def test_a_variant_has_its_own_name_and_the_numbers_of_the_data_set_whose_models_it_uses(cells, tmp_path):
    _, masks = shards(tmp_path, cells)
    chosen = {"method": "spharm", "max_invalid_fraction": 1.0}
    parent, variant, other = (
        reconstructed(None, masks, tmp_path / f"{name}.zarr.zip", dataset=name, seeded_as=key, **chosen)
        for name, key in (("d", "d"), ("variant", "d"), ("other", "other"))
    )
    assert [store.record.dataset for store in (parent, variant, other)] == ["d", "variant", "other"]
    np.testing.assert_array_equal(parent["sdf"], variant["sdf"])
    assert not np.array_equal(parent["sdf"], other["sdf"])


def test_the_record_names_the_method_and_what_the_volumes_were_made_from(cells, tmp_path):
    views, masks = shards(tmp_path, cells[:1])
    record = reconstructed(views, masks, tmp_path / "v.zarr.zip", method="visual_hull", seed=5).record
    assert (record.method, record.seed) == ("visual_hull", 5)
    assert sorted(name.split("/")[1] for name in record.digests) == ["masks.zarr.zip", "views.zarr.zip"]
    alone = reconstructed(None, masks, tmp_path / "s.zarr.zip", method="spharm", max_invalid_fraction=1).record
    assert alone.method == "spharm" and [name.split("/")[1] for name in alone.digests] == ["masks.zarr.zip"]
