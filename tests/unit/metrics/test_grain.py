"""Grain of cells: strength and reach."""

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.metrics.grain import measure_grain

Y, X = np.mgrid[:64, :64] - 31.5
DISC = np.hypot(Y, X) < 24
NOISE = np.random.default_rng(0).normal(0, 0.05, (64, 64))


def test_white_noise_has_its_own_strength_and_no_reach():
    strength, reach = measure_grain(0.5 + NOISE, DISC)
    assert strength == pytest.approx(0.05, rel=0.05) and -0.15 < reach < 0


def test_blurred_noise_reaches_farther():
    reaches = [measure_grain(ndimage.gaussian_filter(NOISE, width), DISC)[1] for width in (0.01, 0.5, 0.8)]
    assert reaches[0] < reaches[1] - 0.1 < reaches[2] - 0.2


def test_a_bright_cell_on_a_dark_background_has_no_grain_of_its_outline():
    strength, _ = measure_grain(np.where(DISC, 0.9, 0.0), DISC)
    assert strength < 1e-6


def test_slow_changes_are_no_grain():
    assert measure_grain(0.5 + 0.004 * X, DISC)[0] < 0.1 * np.std(0.004 * X[DISC])


@pytest.mark.parametrize("mask", [np.zeros((8, 8)), np.eye(8)[:, :8] > 5])
def test_a_cell_that_is_too_small_has_none(mask):
    assert measure_grain(np.ones((8, 8)), mask) == (0.0, 0.0)
