"""Exposure, focus and noise of images, drawn from ranges."""

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.config.settings import Randomise
from cellcascade.population.randomise import randomise


def scene(shape=(1, 60, 60)):
    """A bright cube on noise about 20 counts: light, and background alone."""
    background = np.random.default_rng(0).normal(20, 2, shape).astype(np.float32)
    light = background.copy()
    light[:, 20:40, 20:40] = 120
    return light, background


def made(light, background, *, across=1.0, seed=0, **ranges):
    generator = np.random.default_rng(seed)
    return randomise(light, background, Randomise(**ranges), across=across, generator=generator)[0], generator


def test_nothing_is_drawn_or_changed_where_nothing_is_asked_for():
    light, background = scene()
    same, generator = made(light, background)
    assert same is light and generator.random() == np.random.default_rng(0).random()


def test_contrast_changes_the_cells_and_not_the_level_of_the_background():
    light, background = scene()
    dim, _ = made(light, background, contrast=[0.5, 0.5])
    assert dim[0, 30, 30] == pytest.approx(70, abs=0.5)
    assert np.median(dim[:, :15]) == pytest.approx(np.median(light[:, :15]), abs=0.15)


def test_blur_is_round_in_micrometres():
    light, background = scene((9, 60, 60))
    point = np.zeros_like(light)
    point[4, 30, 30] = 1000
    soft, _ = made(point, background, blur=[2, 2], across=2.0)
    assert soft[5, 30, 30] == pytest.approx(soft[4, 30, 32], rel=0.05) and soft.sum() == pytest.approx(1000, rel=1e-3)
    flat, _ = made(point[4:5], background[4:5], blur=[2, 2])
    assert np.array_equal(flat[0], ndimage.gaussian_filter(point[4], 2))


def test_noise_is_so_many_times_that_of_the_background():
    light, background = scene()
    noisy, _ = made(light, background, noise=[3, 3])
    assert noisy[:, :15].std() / light[:, :15].std() == pytest.approx(3, rel=0.1)
    assert noisy[:, 22:38, 22:38].mean() == pytest.approx(120, abs=1)


def test_every_image_draws_its_own_from_the_ranges():
    light, background = scene()
    middles = [made(light, background, seed=seed, contrast=[0.5, 2.0])[0][0, 30, 30] for seed in range(30)]
    assert 65 < min(middles) < 90 and 180 < max(middles) < 225
