"""How cells lie in drawn frames with known answers."""

import numpy as np
import pytest

from cellcascade.data.layout import fit_heights, fit_layout, measure_frame


def discs(centres, radius, shape=(200, 200)):
    labels, grid = np.zeros(shape, np.uint16), np.indices(shape)
    for label, (y, x) in enumerate(centres, 1):
        labels[np.hypot(grid[0] - y, grid[1] - x) < radius] = label
    return labels


def strewn(rng, count, shape=(400, 400), side=5):
    """Small squares anywhere, one over the other where they meet."""
    labels = np.zeros(shape, np.uint16)
    for label in range(1, count + 1):
        y, x = rng.integers(0, np.array(shape) - side)
        labels[y : y + side, x : x + side] = label
    return labels


def measured(labels, spacing=None):
    return measure_frame(labels, np.unique(labels[labels > 0]).tolist(), spacing or (1.0,) * labels.ndim)


def ellipsoids(centres, radii, shape):
    """Ellipsoids of radii (z, y, x)."""
    labels, grid = np.zeros(shape, np.uint16), np.indices(shape, np.float32)
    for label, centre in enumerate(centres, 1):
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii)) < 1
        labels[inside] = label
    return labels


def test_separations_middles_and_borders_of_drawn_cells():
    labels = np.zeros((60, 60), np.uint16)
    labels[10:16, 10:16], labels[10:16, 17:23], labels[40:46, 10:16], labels[50:60, 50:56] = 1, 2, 5, 9
    found = measure_frame(labels, [1, 2, 5], (1.0, 1.0))  # 9 is no cell
    np.testing.assert_allclose(found.separation, [2, 2, 25])  # pixels from the last of one to the first of the other
    np.testing.assert_allclose(found.centres, [[13, 13], [13, 20], [43, 13]])
    assert found.touching == pytest.approx(2 / 3) and not found.at_border.any() and not len(found.heights)
    assert measure_frame(labels, [9], (1.0, 1.0)).at_border.all()


def test_strewn_cells_are_as_close_as_strewn_ones_and_pairs_are_closer():
    rng = np.random.default_rng(0)
    random = fit_layout([measured(strewn(rng, 80)) for _ in range(12)])
    assert np.mean(random.closeness[4:]) == pytest.approx(1, abs=0.1)
    middles = [rng.uniform(30, 170, (6, 2)) for _ in range(6)]
    pairs = fit_layout([measured(discs(np.concatenate([at, at + (0, 13)]), 6)) for at in middles])
    step = np.searchsorted(pairs.edges, 13) - 1
    assert pairs.closeness[step] > 3 * np.median(pairs.closeness)


def test_gap_touching_and_slivers_are_those_of_the_frames():
    grid = [(y, x) for y in range(20, 200, 40) for x in range(20, 200, 40)]
    loose = fit_layout([measured(discs(grid, 10))])
    assert loose.touching == (0.0,) and 20 <= loose.gap <= 22 and loose.least_share == 0
    cut = fit_layout([measured(discs([*grid, *[(y, -5) for y in range(0, 200, 40)]], 10))])
    assert 0.05 < cut.least_share < 0.35


def test_few_cells_say_nothing_of_their_layout():
    assert fit_layout([measured(discs([(50, 50), (100, 100), (150, 40), (40, 150), (150, 150)], 8))]) is None
    assert fit_layout([]) is None and fit_heights([]) == ()


def test_slices_seldom_show_where_two_cells_come_closest():
    slices = [measured(discs([(y, x) for y in (30, 90, 150) for x in (30, 90, 150)], 8)) for _ in range(2)]
    assert fit_layout(slices, sections=True).gap == 1 < fit_layout(slices).gap


def test_heights_of_whole_cells_and_of_cells_that_the_first_slice_cuts():
    at = [(y, x) for y in (20, 60) for x in (20, 60, 100)]
    whole = ellipsoids([(12, *c) for c in at], (6, 15, 15), (25, 80, 120))
    halved = ellipsoids([(0, *c) for c in at], (6, 15, 15), (25, 80, 120))
    for labels in (whole, halved):
        heights = fit_heights([measured(labels, (2.0, 1.0, 1.0))])
        assert len(heights) == 21 and np.mean(heights) == pytest.approx(6 * 2 / 15, rel=0.06)


def test_heights_of_cells_that_the_border_in_the_plane_cuts_are_not_seen():
    labels = ellipsoids([(6, y, 0) for y in range(10, 110, 20)], (4, 8, 8), (12, 120, 40))
    assert fit_heights([measured(labels)]) == ()
