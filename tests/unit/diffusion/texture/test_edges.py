"""The light across a cell's edge, compared with the real one and corrected."""

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.diffusion.texture.edges import LARGEST_GAIN, fit_profile
from cellcascade.diffusion.texture.hints import CellHints

EDGE = 48
CONTRASTS = np.linspace(0.1, 0.8, 24)
BACKGROUND = 0.05


def discs(radii, contrasts, *, wider=0.0, background=BACKGROUND):
    """Masks of discs, and blurred images of discs whose radii differ by `wider`, shares of the window's counts."""
    y, x = np.mgrid[:EDGE, :EDGE] - (EDGE - 1) / 2
    reach = np.asarray(radii)[:, None, None] - np.hypot(x, y)
    light = ndimage.gaussian_filter((reach + wider + 0.5).clip(0, 1), (0, 1.2, 1.2))
    return reach > 0, background + np.asarray(contrasts)[:, None, None] * light


def seen(masks, contrasts, areas=None):
    """Hints of cells with these contrasts."""
    levels = np.sqrt(np.stack([BACKGROUND + np.asarray(contrasts), np.full(len(masks), BACKGROUND)]))
    areas, grain = np.ones(len(masks)) if areas is None else areas, np.full((len(masks), 2), 0.05)
    return CellHints.of(masks, *levels, areas, grain)


def test_hints_tell_distance_contrast_and_area():
    masks, _ = discs([9, 14], [0.2, 0.6])
    found = seen(masks, [0.2, 0.6], np.array([0.4, 1.0]))
    assert found.contrast == pytest.approx([0.2, 0.6], abs=1e-6)
    assert found.relative_area == pytest.approx([0.4, 1.0])
    assert ((found.distance > 0) == masks).all()
    assert found.distance[0, EDGE // 2, EDGE // 2 - 12] == pytest.approx(-2.5, abs=0.6)


@pytest.mark.parametrize("wider", [-1.0, 0.7])
def test_cells_drawn_too_small_or_too_large_get_the_real_light_whatever_their_contrast(wider):
    generator = np.random.default_rng(0)
    radii = generator.uniform(10, 16, len(CONTRASTS))
    masks, real = discs(radii, CONTRASTS)
    profile = fit_profile(real, discs(radii, CONTRASTS, wider=wider)[1], seen(masks, CONTRASTS))
    others = CONTRASTS[:-1] + 0.015
    radii = generator.uniform(10, 16, len(others))
    masks, real = discs(radii, others)
    drawn, found = discs(radii, others, wider=wider)[1], seen(masks, others)
    away = found.distance
    for nearest, farthest in ((-3, 0), (0, 3)):
        band = (away >= nearest) & (away < farthest)
        before, after = (
            ((light - real) * band).sum((1, 2)) / band.sum((1, 2)) for light in (drawn, drawn * profile.gain(found))
        )
        assert (np.abs(after) < 0.2 * np.abs(before)).all()


def test_what_is_drawn_right_stays_as_it_is():
    masks, real = discs([12] * 24, CONTRASTS)
    found = seen(masks, CONTRASTS)
    assert fit_profile(real, real, found).gain(found) == pytest.approx(1.0)


def test_cells_of_one_contrast_suffice_and_others_get_the_same_gain():
    masks, real = discs([12, 14] * 8, [0.5] * 16)
    profile = fit_profile(real, 0.8 * real, seen(masks, [0.5] * 16))
    masks = masks[:2]
    for contrasts in ([0.5, 0.5], [-0.04, 0.94]):
        assert profile.gain(seen(masks, contrasts)) == pytest.approx(1.25, rel=1e-3)


def test_dim_cells_get_no_bright_rim_where_few_cells_were_measured():
    """Of three contrasts, nothing is said of others."""
    measured = np.array([0.3, 0.45, 0.58])
    masks, real = discs([12, 14, 13], measured)
    profile = fit_profile(real, discs([12, 14, 13], measured, wider=0.7)[1], seen(masks, measured))
    masks, _ = discs([13, 13], [0.3, 0.05])
    dimmest, dimmer = profile.gain(seen(masks, [0.3, 0.05]))
    np.testing.assert_allclose(dimmer, dimmest, rtol=1e-3)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_texture_of_few_cells_is_not_drawn_into_all_others(count):
    """Rings within the cells, bright in some and dark in others, are no error of the model."""
    generator = np.random.default_rng(count)
    crops = np.resize(np.arange(count), 48)
    contrasts, radii = generator.uniform(0.3, 0.6, count)[crops], generator.uniform(7, 12, count)[crops]
    masks, plain = discs(radii, contrasts)
    found = seen(masks, contrasts)
    rings = generator.normal(0, 0.15, (2, 48, 15)) * contrasts[:, None]
    rings[0] = rings[0][:count][crops]  # a real cell is the same each time it comes
    ring = np.digitize(found.distance, np.arange(-6, 7)) * masks
    real, drawn = (plain + np.take_along_axis(each[:, None], ring, 2) * masks for each in rings)
    gain = fit_profile(real, drawn, found, crops).gain(found)
    assert np.abs(gain - 1).max() < 0.2 and np.abs(gain[~masks] - 1).max() < 0.02


def test_what_few_cells_have_in_common_is_corrected():
    masks, real = discs([9, 10, 11, 12, 13], np.linspace(0.3, 0.6, 5))
    drawn = np.where(masks, 0.8 * real, real)
    found = seen(masks, np.linspace(0.3, 0.6, 5))
    gain = fit_profile(real, drawn, found).gain(found)
    assert 1.12 < gain[masks].mean() < 1.25 and np.abs(gain[~masks] - 1).max() < 0.06


def test_gains_are_bounded():
    masks, real = discs([12] * 24, CONTRASTS)
    far = fit_profile(real, 0.1 * real, seen(masks, CONTRASTS)).gain(seen(masks, CONTRASTS))
    assert far == pytest.approx(LARGEST_GAIN)


def test_narrow_slices_have_a_light_of_their_own():
    """Around the ends of a cell shines its middle, which a model may leave out."""
    areas = np.tile([0.3, 1.0], 12)
    masks, real = discs(8 + 6 * areas, CONTRASTS)
    glow = 0.1 * (1 - areas) * CONTRASTS
    found = seen(masks, CONTRASTS, areas)
    drawn, real = real, real + glow[:, None, None]
    corrected = drawn * fit_profile(real, drawn, found).gain(found)
    ring = found.distance[:, None] < 0
    for kind in (areas < 1, areas == 1):
        off = ((corrected - real)[kind] * ring[kind, 0]).sum() / ring[kind].sum()
        assert abs(off) < 0.1 * glow[areas < 1].mean()
