"""Imaginary data sets: they look different and their hints are true."""

import numpy as np
import pytest

from cellcascade.data.crops import read_crops, to_unit
from cellcascade.diffusion.texture.domains import SIZES, Look, draw_look, imagine
from cellcascade.metrics.grain import measure_grain
from tests.unit.diffusion.texture.quick import changed


@pytest.fixture
def large(crops, tmp_path):
    """The discs with four times as much background around them."""
    data = read_crops(crops)
    image = np.pad(data.image, ((0, 0), (32, 32), (32, 32)), mode="reflect")
    image[:, :24], image[:, -24:], image[:, :, :24], image[:, :, -24:] = 10, 10, 10, 10
    mask = np.pad(data.mask, ((0, 0), (32, 32), (32, 32)))
    return changed(crops, tmp_path / "large.zarr.zip", image=image, mask=mask)


def test_what_stays_as_it_is_has_the_hints_of_real_crops(crops):
    data = read_crops(crops)
    same = imagine(data, np.arange(24), Look(32, turned=False), np.random.default_rng(0))
    np.testing.assert_allclose(same.image, to_unit(data.image, data.record.window), atol=1e-3)
    np.testing.assert_array_equal(same.source, np.arange(24))
    from cellcascade.diffusion.texture.hints import CellHints

    np.testing.assert_allclose(same.hints.levels[:, :3], CellHints.of_crops(data).levels[:, :3], atol=0.05)


@pytest.mark.parametrize("zoom", [0.7, 2.0])
def test_cells_grow_with_the_zoom(large, zoom):
    made = imagine(large, np.arange(24), Look(64, zoom=zoom), np.random.default_rng(0))
    grown = (made.hints.distance > 0).sum((1, 2)) / large.mask.sum((1, 2))[made.source]
    assert len(made.source) > 20 and np.median(grown) == pytest.approx(zoom**2, rel=0.1)


def test_light_and_noise_are_those_of_the_look_and_told_by_the_hints(large):
    rows, generator = np.arange(24), np.random.default_rng(0)
    dark = imagine(large, rows, Look(64, gain=0.5), generator)
    bright = imagine(large, rows, Look(64), generator)
    assert np.median(dark.hints.brightness / bright.hints.brightness) == pytest.approx(0.5, rel=0.05)
    noisy = imagine(large, rows, Look(64, noise=0.2, shot=1.0), generator)
    assert np.median(noisy.hints.levels[:, 3]) > np.median(bright.hints.levels[:, 3]) + 0.2
    grain = [measure_grain(image, distance > 0) for image, distance in zip(noisy.image, noisy.hints.distance)]
    strength = 0.02 * 8 ** noisy.hints.levels[:, 3]
    np.testing.assert_allclose(strength, [each[0] for each in grain], rtol=0.05)


def test_a_cell_that_touches_the_edge_is_left_out(crops):
    data = read_crops(crops)
    assert imagine(data, np.arange(24), Look(32, zoom=3.0), np.random.default_rng(0)) is None


def test_looks_suit_the_cells(large):
    looks = [draw_look(large, np.random.default_rng(number)) for number in range(60)]
    sizes = {look.size for look in looks if look}
    assert sizes <= SIZES.keys() and 64 in sizes
    diameter = np.median(2 * np.sqrt(large.mask.sum((1, 2)) / np.pi))
    for look in filter(None, looks):
        low, high = SIZES[look.size]
        assert low - 1e-6 <= look.zoom * diameter <= high + 1e-6 and look.size <= 96 * look.zoom + 1e-6
