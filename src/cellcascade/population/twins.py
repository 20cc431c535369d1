"""Images with twins: the same light without noise, of which the image is a draw and the twin the mean.

The noise is the background's, and the shot noise of the light above it. Both have mean zero at every pixel, and neither
reaches below zero counts, so that nothing is clipped there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri

from cellcascade.population.background import Background
from cellcascade.population.canvas import Canvas, Placement
from cellcascade.population.canvas_background import mean_counts, noisy_counts
from cellcascade.population.cell_library import DARKEST
from cellcascade.population.denoise import noise_like, still_cell
from cellcascade.population.paint import Ground

FEWEST = 1.0  # photons: fainter light has no more noise, relative to itself


def paint_with_twin(
    brush: Callable[..., np.ndarray],
    canvas: Canvas,
    placed: Sequence[Placement],
    *,
    field: np.ndarray,
    haze: np.ndarray | None,
    background: np.ndarray,
    model: Background,
    scores: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint placed cells without noise over a background without noise, and add the noise.

    Args:
        brush: `paint` for this canvas.
        canvas: Where the cells are.
        placed: The cells.
        field: The field of the background, with the haze, counts, ([z,] y, x).
        haze: The haze near cells, counts, (z, y, x); `None`: there is none.
        background: The background with its noise, counts, (z, y, x).
        model: The fitted background.
        scores: Standard normal noise, correlated as the background's is, from which the shot noise is made, (z, y, x).

    Returns:
        Counts with noise and without, float32, (z, y, x).
    """
    noise, ground = noise_like(model), _still_ground(model, field, haze, canvas.shape)
    still = [replace(item, cell=still_cell(item.cell, noise)) for item in placed]
    twin = np.clip(brush(still, ground, scores=None), 0, model.largest)
    mean = ground.counts
    share = np.minimum(twin / np.maximum(mean, 1e-6), 1)  # where it is darker than the background, so is the noise
    light = twin - share * mean + share * background
    return light + shot_noise(np.maximum(twin - mean, 0), _gains(canvas, still), scores), twin


def shot_noise(light: np.ndarray, gain: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The shot noise of light, without the light: of mean zero and variance `gain` times the light, at least -`light`.

    It is gamma distributed by Wilson and Hilferty's cube, divided by the cube's mean.

    Args:
        light: Mean counts, any shape, not negative.
        gain: Counts of one photon, of its shape.
        scores: Standard normal numbers of its shape.

    Returns:
        Counts, float32, of its shape.
    """
    photons = np.maximum(light / np.maximum(gain, 1e-6), FEWEST)
    width = 1 / (3 * np.sqrt(photons))
    middle = 1 - width**2
    ends = middle / width  # standard deviations from the middle to where the cube ends
    density = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    mean = (middle**3 + 3 * middle * width**2) * ndtr(ends) + (middle**2 + 2 * width**2) * width * density
    cube = np.maximum(middle + width * scores, 0) ** 3
    return (light * (cube / mean - 1)).astype(np.float32)


def _still_ground(model: Background, field: np.ndarray, haze: np.ndarray | None, shape: Sequence[int]) -> Ground:
    """A field ([z,] y, x) as a background of a shape (z, y, x) without noise; how dark it gets, the noise says."""
    mean = mean_counts(model, field).reshape(shape)
    dark = noisy_counts(model, field, np.full(field.shape, ndtri(DARKEST / 100), np.float32))
    return Ground(mean, mean, float(np.percentile(dark, DARKEST)), haze)


def _gains(canvas: Canvas, placed: Sequence[Placement]) -> np.ndarray:
    """Counts of one photon at each voxel (z, y, x): as of the nearest cell; far from all, the median cell's."""
    gains = [item.cell.gain for item in placed]
    table = np.full(int(canvas.owner.max()) + 1, np.median(gains) if gains else 0, np.float32)
    table[[item.label for item in placed]] = gains
    return table[canvas.owner]
