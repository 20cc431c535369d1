import numpy as np
import pytest
import torch

from cellcascade.config.settings import Slicing
from cellcascade.core.errors import InputError
from cellcascade.data.stores import CROPS, MASKS, SLICES, VOLUMES
from cellcascade.geometry.raycast import occupancy
from cellcascade.geometry.slicing import cut, make_slices, slice_heights
from tests.stores import write_store

EDGE, SIZE = 32, 64  # voxels of the volumes, pixels of the masks


def test_slices_of_a_sphere_at_any_spacing():
    sdf = occupancy(torch.full((1, 45, 90), 0.6), EDGE)[0].numpy()
    heights = slice_heights(1.0, 0.25)
    masks = cut(sdf, heights, 64)
    assert 0.0 in heights and len(masks) == 5
    radii = np.sqrt(masks.sum((1, 2)) / np.pi) / 32
    np.testing.assert_allclose(radii, np.sqrt(0.36 - np.array([-0.5, -0.25, 0, 0.25, 0.5]) ** 2), atol=0.02)


def test_slicing_keeps_the_largest_body_and_nothing_of_an_empty_volume():
    sdf = np.full((EDGE,) * 3, -0.1, np.float32)
    assert len(cut(sdf, slice_heights(1.0, 0.1), EDGE)) == 0
    sdf[10:20, 10:20, 10:20] = 0.1
    sdf[28:30, 28:30, 28:30] = 0.1
    masks = cut(sdf, slice_heights(1.0, 2 / EDGE), EDGE)
    assert masks[:, 25:, 25:].sum() == 0 and masks.sum() > 500


def ball(radius, edge=EDGE):
    """A signed distance volume."""
    return occupancy(torch.full((1, 45, 90), radius), edge)[0].numpy()


def disc(radius):
    """The central section of `ball`."""
    y, x = (np.mgrid[:SIZE, :SIZE] * 2 + 1) / SIZE - 1
    return (np.hypot(y, x) < radius).astype(np.uint8)


def sliced(folder, volumes, masks, *, reasons=None, max_invalid_fraction=0.0, ids=None, heights=(), **settings):
    """The slices of volumes; cells with a reason are invalid."""
    ids, reasons = np.arange(len(volumes)) if ids is None else np.asarray(ids), reasons or {}
    common = {"cell_id": ids, "valid": [cell not in reasons for cell in ids]}
    given = write_store(VOLUMES, folder / "volumes.zarr.zip", {"sdf": volumes, **common}, reasons=reasons, seed=7)
    outlines = write_store(MASKS, folder / "masks.zarr.zip", {"mask": masks, **common}, reasons=reasons)
    make_slices(
        volumes=given,
        masks=outlines,
        crops=write_store(CROPS, folder / "crops.zarr.zip", {}, heights=heights),
        voxel_size_um=(4.0, 1.0, 1.0),
        settings=Slicing(**settings),
        store=folder / "slices.zarr.zip",
        dataset="variant",
        seeded_as="toy",
        max_invalid_fraction=max_invalid_fraction,
    )
    return SLICES.open(folder / "slices.zarr.zip")


def test_cells_are_cut_at_the_data_sets_distance_of_slices_or_at_another(tmp_path):
    volumes, masks = np.stack([ball(0.6), ball(0.4)]), np.stack([disc(0.6), disc(0.4)])
    made = sliced(tmp_path, volumes, masks)
    assert made.record.spacing_um == 4.0 and made["n_slices"].tolist() == [9, 7]  # half widths of 19.2 and 12.8 um
    assert made["widest"].tolist() == [4, 3] and made["section_iou"].min() > 0.95
    assert made["mask"].shape == (2, 9, SIZE, SIZE) and not made["mask"][1, 7:].any()
    finer = sliced(tmp_path, volumes, masks, spacing_um=2.0)
    assert finer.record.spacing_um == 2.0 and finer["n_slices"].tolist() == [19, 13]
    np.testing.assert_array_equal(finer["mask"][0, 1:18:2], made["mask"][0])


def test_cells_are_as_high_as_those_of_annotated_stacks_or_as_configured(tmp_path):
    volumes, masks = np.stack([ball(0.5)] * 40), np.stack([disc(0.5)] * 40)
    widths = 32.0  # pixels, as are the distances of slices in the plane's unit
    measured = np.linspace(0.3, 0.7, 21)
    drawn = sliced(tmp_path, volumes, masks, heights=measured, spacing_um=1.0)["n_slices"] / widths
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.05) and drawn.min() >= 0.25 and drawn.max() <= 0.75
    assert np.std(drawn) == pytest.approx(np.std(measured), rel=0.3)
    flat = sliced(tmp_path, volumes[:1], masks[:1], heights=measured, spacing_um=1.0, height_ratio=0.25)
    assert flat["n_slices"][0] / widths == pytest.approx(0.25, abs=0.05)
    assert flat["section_iou"][0] > 0.95  # the widest slice stays as it is


def test_heights_depend_on_the_cell_not_on_its_shard(tmp_path):
    volumes, masks = np.stack([ball(0.5)] * 3), np.stack([disc(0.5)] * 3)
    whole = sliced(tmp_path, volumes, masks, heights=(0.2, 1.0), spacing_um=1.0, ids=[4, 5, 6])
    part = sliced(tmp_path, volumes[:1], masks[:1], heights=(0.2, 1.0), spacing_um=1.0, ids=[6])
    assert whole["n_slices"][2] == part["n_slices"][0] and len(set(whole["n_slices"].tolist())) > 1


def test_the_record_names_the_data_set_its_inputs_and_the_seed_of_its_volumes(tmp_path):
    record = sliced(tmp_path, ball(0.5)[None], disc(0.5)[None]).record
    assert (record.dataset, record.seed, record.reasons) == ("variant", 7, {})
    assert sorted(name.split("/")[1] for name in record.digests) == ["masks.zarr.zip", "volumes.zarr.zip"]


def test_reasons_of_earlier_stages_go_on_and_a_cell_that_no_slice_meets_gets_one(tmp_path):
    volumes, masks = np.stack([ball(0.6), -np.ones((EDGE,) * 3), ball(0.5)]), np.stack([disc(0.6)] * 3)
    made = sliced(tmp_path, volumes, masks, reasons={22: "fragmented"}, max_invalid_fraction=0.7, ids=[20, 21, 22])
    assert made.record.reasons == {22: "fragmented", 21: "no slice meets the cell"}
    assert made["valid"].tolist() == [1, 0, 0] and made["n_slices"][1:].tolist() == [0, 0]
    assert not made["mask"][1:].any() and made["section_iou"][1:].tolist() == [0, 0]


def test_too_many_cells_that_no_slice_meets_stop_the_job(tmp_path):
    volumes, masks = np.stack([ball(0.6), -np.ones((EDGE,) * 3), ball(0.5)]), np.stack([disc(0.6)] * 3)
    message = r"Too many cells of a shard are invalid(.|\n)*2 of 3: \['fragmented', 'no slice meets the cell'\]"
    with pytest.raises(InputError, match=message):
        sliced(tmp_path, volumes, masks, reasons={0: "fragmented"}, max_invalid_fraction=0.5)
    assert not (tmp_path / "slices.zarr.zip").exists()


def test_a_shard_without_any_cell_has_one_empty_slice_for_each(tmp_path):
    volumes, masks = np.full((2, EDGE, EDGE, EDGE), -1.0), np.zeros((2, SIZE, SIZE))
    made = sliced(tmp_path, volumes, masks, reasons={0: "a", 1: "b"}, max_invalid_fraction=1.0)
    assert made["mask"].shape == (2, 1, SIZE, SIZE) and made["n_slices"].tolist() == [0, 0]
