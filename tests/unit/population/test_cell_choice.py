"""Cells of an image are as bright and as large together as those of a real frame."""

import numpy as np
import pytest

from cellcascade.data.stores import CROPS, TEXTURES
from cellcascade.population.cell_choice import CellChoice
from cellcascade.population.cell_library import CellLibrary
from tests.stores import write_store

SIZE = 24


def discs(radii):
    y, x = (axis - SIZE / 2 for axis in np.ogrid[:SIZE, :SIZE])
    return (np.hypot(y, x) < np.reshape(radii, (-1, 1, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """200 cells of all sizes and brightnesses."""
    rng = np.random.default_rng(0)
    masks = discs(rng.uniform(3, 10, 200))[:, None]
    images = masks * rng.uniform(20, 200, (200, 1, 1, 1)) + 5
    path = tmp_path_factory.mktemp("cells") / "textures.zarr.zip"
    return CellLibrary([write_store(TEXTURES, path, {"image": images, "mask": masks, "n_slices": np.ones(200)})], rim=3)


def choice(folder, library, frame, brightness, radii, *, z=-1, weights=None, **facts):
    count = len(frame)
    arrays = {"mask": discs(radii), "frame": frame, "label": np.arange(count), "brightness": brightness}
    arrays["z"] = np.full(count, z)
    crops = write_store(CROPS, folder / "crops.zarr.zip", {**arrays, "widest": np.ones(count)}, **facts)
    return CellChoice(library, crops, weights)


def test_a_frame_of_small_dim_cells_and_one_of_large_bright_ones_stay_apart(tmp_path, library):
    rng = np.random.default_rng(1)
    frames, brightness = np.repeat([3, 8], 30), np.concatenate([rng.uniform(30, 50, 30), rng.uniform(150, 190, 30)])
    radii = np.concatenate([rng.uniform(4, 5, 30), rng.uniform(8, 9, 30)])
    made = choice(tmp_path, library, frames, brightness, radii, frames=(3, 8), cells_per_frame=(30, 45))
    assert [lender.count for lender in made.lenders] == [30, 45]
    for lender, bright, large in zip(made.lenders, (40, 170), (np.pi * 4.5**2, np.pi * 8.5**2)):
        found = [cell.index for cell in made.like(lender, 400, rng)]
        assert np.mean(library.brightness[found]) == pytest.approx(bright, rel=0.3)
        assert np.mean(library.areas[found]) == pytest.approx(large, rel=0.2)
    assert {made.lender(rng).count for _ in range(20)} == {30, 45}


def test_few_real_cells_call_up_many_of_the_library(tmp_path, library):
    made = choice(tmp_path, library, [0, 0, 0, 0], [60, 90, 130, 160], [5, 6, 7, 8], frames=(0,), cells_per_frame=(4,))
    found = made.like(made.lenders[0], 1000, np.random.default_rng(2))
    assert len({cell.index for cell in found}) > 60


def test_of_a_small_library_the_nearest_few_stand_for_a_real_cell(tmp_path):
    brightness = np.linspace(20, 200, 15)
    masks = discs(np.full(15, 6))[:, None]
    arrays = {"image": masks * brightness[:, None, None, None], "mask": masks, "n_slices": np.ones(15)}
    few = CellLibrary([write_store(TEXTURES, tmp_path / "few.zarr.zip", arrays)], rim=3)
    made = choice(tmp_path, few, np.zeros(15), brightness, np.full(15, 6), frames=(0,), cells_per_frame=(15,))
    found = made.like(made.lenders[0], 500, np.random.default_rng(3))
    assert np.std([few.brightness[cell.index] for cell in found]) > 0.8 * brightness.std()


def test_cells_of_stacks_are_as_deep_as_the_bright_or_dim_ones_they_stand_for(tmp_path, library):
    bright, z = np.repeat([40, 180], 20), np.repeat([2, 7], 20)
    facts = {"frames": (0,), "frame_shape": (10, 64, 64), "voxel_size_um": (2.0, 1.0, 1.0)}
    radii = np.tile(np.linspace(5, 9, 20), 2)
    made = choice(tmp_path, library, np.zeros(40), bright, radii, z=z, cells_per_frame=(40,), **facts)
    found = made.like(made.lenders[0], 300, np.random.default_rng(4))
    light = np.array([library.brightness[cell.index] for cell in found])
    assert {cell.depth for cell in found} == {0.25, 0.75}
    assert np.corrcoef(light, [cell.depth for cell in found])[0, 1] > 0.9


@pytest.mark.parametrize(("follows", "real"), [(1.0, 0.9), (0.0, 0.0)])
def test_light_falls_with_depth_as_in_the_frame_even_if_cells_are_only_roughly_alike(tmp_path, follows, real):
    rng = np.random.default_rng(8)
    radii, brightness = rng.uniform(4, 8, 40), rng.uniform(20, 200, 40)
    few = {"image": discs(radii)[:, None] * brightness[:, None, None, None], "mask": discs(radii)[:, None]}
    library = CellLibrary([write_store(TEXTURES, tmp_path / "few.zarr.zip", few | {"n_slices": np.ones(40)})], rim=3)
    bright, radii = rng.uniform(40, 180, 60), rng.uniform(5, 7, 60)
    z = (follows * (bright - 40) / 140 + (0.45 if follows else 1) * rng.random(60)) / (1 + 0.45 * follows) * 49
    facts = {"frames": (0,), "frame_shape": (50, 64, 64), "voxel_size_um": (2.0, 1.0, 1.0)}
    made = choice(tmp_path, library, np.zeros(60), bright, radii, z=z.astype(int), cells_per_frame=(60,), **facts)
    lender, found = made.lenders[0], made.like(made.lenders[0], 2000, rng)
    light, depth = library.brightness[[cell.index for cell in found]], np.array([cell.depth for cell in found])
    assert np.corrcoef(lender.traits[:, 0], lender.depths)[0, 1] == pytest.approx(real, abs=0.12)
    assert np.corrcoef(light, depth)[0, 1] == pytest.approx(real, abs=0.12)
    np.testing.assert_allclose(
        np.percentile(depth, [10, 50, 90]), np.percentile(lender.depths, [10, 50, 90]), atol=0.04
    )


def test_where_slices_are_annotated_the_larger_half_is_taken(tmp_path, library):
    radii = np.linspace(3, 9, 40)
    facts = {"frame_shape": (10, 64, 64), "voxel_size_um": (2.0, 1.0, 1.0), "cells_per_frame": ()}
    made = choice(tmp_path, library, np.zeros(40), np.full(40, 90), radii, cells_per_slice=(5.0,), **facts)
    found = made.like(made.lenders[0], 300, np.random.default_rng(5))
    assert np.mean([library.areas[cell.index] for cell in found]) > np.median(np.pi * radii**2)
    assert np.isnan([cell.depth for cell in found]).all()


def test_frames_without_a_usable_cell_lend_those_of_all(tmp_path, library):
    made = choice(tmp_path, library, [0, 0], [60, 90], [5, 6], frames=(0, 1), cells_per_frame=(2, 7))
    assert [len(lender.traits) for lender in made.lenders] == [2, 2]


FOUR = {"frame": [0, 0, 0, 0], "brightness": [60, 90, 130, 160], "radii": [5, 6, 7, 8], "frames": (0,)}


def test_without_weights_cells_are_drawn_as_ever(tmp_path, library):
    made = choice(tmp_path, library, **FOUR, cells_per_frame=(4,))
    found = [cell.index for cell in made.like(made.lenders[0], 12, np.random.default_rng(7))]
    assert found == [9, 189, 76, 103, 106, 52, 153, 117, 32, 8, 161, 175]


def test_weights_say_how_much_more_often_each_cell_is_drawn(tmp_path, library):
    weights, often = np.where(library.areas < np.median(library.areas), 4.0, 1.0), []
    for given in (None, np.ones(200), weights):
        made = choice(tmp_path, library, **FOUR, cells_per_frame=(4,), weights=given)
        found = [cell.index for cell in made.like(made.lenders[0], 40_000, np.random.default_rng(6))]
        often.append(np.bincount(found, minlength=200))
    assert ((often[0] > 0) == (often[2] > 0)).all()  # the cells that are like a frame's stay the same
    share = [counts / counts.sum() for counts in (often[0], often[1], often[2] / weights)]
    assert share[1] == pytest.approx(share[0], abs=0.004) and share[2] == pytest.approx(share[0], abs=0.004)
    small = share[0][weights > 1].sum()
    assert often[2][weights > 1].sum() / often[2].sum() == pytest.approx(4 * small / (1 + 3 * small), abs=0.01)


def test_with_weights_cells_of_stacks_stay_as_deep_as_those_they_stand_for(tmp_path, library):
    bright, z = np.repeat([40, 180], 20), np.repeat([2, 7], 20)
    facts = {"frames": (0,), "frame_shape": (10, 64, 64), "voxel_size_um": (2.0, 1.0, 1.0), "cells_per_frame": (40,)}
    weights, radii = np.random.default_rng(2).uniform(1, 4, 200), np.tile(np.linspace(5, 9, 20), 2)
    made = choice(tmp_path, library, np.zeros(40), bright, radii, z=z, weights=weights, **facts)
    found = made.like(made.lenders[0], 300, np.random.default_rng(4))
    light = np.array([library.brightness[cell.index] for cell in found])
    assert np.corrcoef(light, [cell.depth for cell in found])[0, 1] > 0.9
