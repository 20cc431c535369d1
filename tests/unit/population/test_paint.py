import itertools

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.data.stores import TEXTURES
from cellcascade.population.cell_library import CellLibrary
from cellcascade.population.paint import Ground, _shot_noise, paint
from cellcascade.population.placement import Canvas, Placement
from tests.stores import write_store
from tests.unit.population.scenes import LEVEL, SIGNAL, SPREAD, make, opened, write_inputs


def test_asymmetric_cells_are_pasted_with_their_own_pixels(tmp_path):
    folder = make(tmp_path / "out", write_inputs(tmp_path), cells_per_image=(15, 15))
    image, labels = opened(folder)
    assert image[labels > 0].mean() == pytest.approx(LEVEL + SIGNAL, rel=0.01)
    assert image[labels > 0].min() > LEVEL + SIGNAL / 2
    assert (image[labels == 0] < LEVEL + SIGNAL / 2).mean() > 0.999


@pytest.mark.parametrize("level", (LEVEL, LEVEL - 40, LEVEL + 40))
@pytest.mark.parametrize("haze", [(), ((3.0, 6.0, 12.0, 24.0), (0.0, 0.15, 0.0, 0.0))])
def test_cells_are_as_bright_above_any_background_as_above_their_own(tmp_path, level, haze):
    """The light of their own haze is in their crops already."""
    inputs = write_inputs(tmp_path, shape=(500, 500), level=level, haze=haze)
    image, labels = opened(make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(10, 10)))
    assert image[labels > 0].mean() == pytest.approx(LEVEL + SIGNAL, rel=0.01)


@pytest.mark.parametrize("level", (LEVEL, LEVEL - 40, LEVEL + 40))
def test_no_halo_around_pasted_cells(tmp_path, level):
    inputs = write_inputs(tmp_path, shape=(500, 500), level=level)
    folder = make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(40, 40), rim=6)
    image, labels = opened(folder)
    distance = ndimage.distance_transform_edt(labels == 0)
    far = image[distance > 10].astype(float)
    for low, high in ((0, 1.5), (1.5, 3), (3, 5), (5, 7), (7, 9)):
        ring = image[(distance > low) & (distance <= high)].astype(float)
        assert ring.mean() == pytest.approx(far.mean(), abs=0.25 * SPREAD)
        assert ring.std() == pytest.approx(far.std(), rel=0.1)


def test_nothing_near_a_cell_in_a_stack_is_darker_than_the_background(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, cells=6, shape=(16, 120, 120), level=LEVEL + 20)
    image, labels = opened(make(tmp_path / "out", inputs, images=(0, 1), cells_per_image=(10, 10)))
    distance = ndimage.distance_transform_edt(labels == 0, sampling=(2, 1, 1))
    floor = np.percentile(image[distance > 10], 1)
    near = image[(distance > 0) & (distance <= 6)]
    assert (near < floor - 0.5).mean() < 0.01


def test_cells_shed_light_on_those_beside_them(tmp_path):
    """Two cells of blurred squares, side by side: where they touch, the light of both adds."""
    mask = np.zeros((1, 1, 24, 24), np.uint8)
    mask[..., 8:16, 8:16] = 1
    light = ndimage.gaussian_filter(400.0 * mask, (0, 0, 2, 2))
    arrays = {"image": LEVEL + light, "mask": mask, "n_slices": [1]}
    library = CellLibrary([write_store(TEXTURES, tmp_path / "cells.zarr.zip", arrays, background=LEVEL)], rim=6)
    canvas = Canvas((1, 40, 40), spacing=(1.0, 1.0, 1.0), gap=0, reach=6)
    cell, placed = library.load(0), []
    for label, x in ((1, 10), (2, 18)):
        inside = np.argwhere(cell.mask).min(0)
        canvas.add(np.ones((1, 8, 8), bool), (0, 16, x), label)
        corner = tuple(int(at - first) for at, first in zip((0, 16, x), inside))
        placed.append(Placement(cell, corner, label, False, ""))
    ground = Ground.of(np.full((1, 40, 40), LEVEL, np.float32))
    image = paint(canvas, placed, ground, scores=np.zeros_like(ground.counts), rim=6, z_decay=0.0)
    own = LEVEL + light[0, 0, 12, 8:16]  # across the middle of a cell
    np.testing.assert_allclose(image[0, 20, 10:12], own[:2], rtol=0.01)  # far from the other
    assert image[0, 20, 17] > own[-1] + 60 and image[0, 20, 18] > own[0] + 60
    assert image[0, 20, 17] == pytest.approx(image[0, 20, 18], rel=1e-3)


@pytest.mark.parametrize("light", (2.0, 50.0))
def test_shot_noise_adds_light_with_the_variance_of_photons(light):
    made = _shot_noise(np.full(200_000, light), 4.0, np.random.default_rng(0).standard_normal(200_000))
    assert made.min() >= 0 and made.mean() == pytest.approx(light, rel=0.1)
    assert made.var() == pytest.approx(4 * light, rel=0.15)


def test_cells_fade_out_above_and_below(tmp_path):
    inputs = write_inputs(tmp_path, ndim=3, cells=1, shape=(21, 60, 60), shards=1, size=40)
    folder = make(tmp_path / "out", inputs, images=(0, 12), cells_per_image=(1, 1))
    profiles = []
    for index in range(12):
        image, labels = opened(folder, index)
        slices = np.flatnonzero(labels.any((1, 2)))
        if slices[-1] + 3 < len(labels):
            end = labels[slices[-1]] > 0
            profiles.append([image[slices[-1] + k][end].mean() - LEVEL for k in range(4)])
    profile = np.mean(profiles, axis=0)
    assert profile[0] > 2 * SIGNAL / 3
    assert all(0.15 < after / before < 0.75 for before, after in itertools.pairwise(profile))
