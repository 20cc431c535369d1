"""Backgrounds for canvases of any size, drawn from a fitted model: a field, its noise, and the mean over all noise."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.special import ndtr

from cellcascade.population.background import Background
from cellcascade.population.interpolation import expand
from cellcascade.population.noise import SCORES, residuals_at, row_of

AT_ONCE = 1 << 16  # pixels whose noise is mapped to counts at once
FINE, MOST = 16, 1 << 14  # levels a count for which the mean over all noise is computed, and how many at most


def sample_background(
    model: Background, shape: Sequence[int], generator: np.random.Generator, scores: np.ndarray | None = None
) -> np.ndarray:
    """Draw a background: one of the real fields, randomly flipped in y and x, with noise.

    Args:
        model: The fitted background.
        shape: Shape of the canvas, ([z,] y, x); the field is stretched to it.
        generator: Source of randomness.
        scores: Standard normal noise of `shape`, as `sample_noise` draws it; `None`: it is drawn.

    Returns:
        Whole counts, float32, of `shape`.
    """
    field = sample_field(model, shape, generator)
    return noisy_counts(model, field, sample_noise(model, shape, generator)[0] if scores is None else scores)


def sample_field(model: Background, shape: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """Draw one of the real fields, randomly flipped in y and x: counts, float32, of `shape`, ([z,] y, x)."""
    field = model.fields[generator.integers(len(model.fields))]
    for axis in (-2, -1):
        field = np.flip(field, axis) if generator.random() < 0.5 else field
    return expand(field, shape)


def noisy_counts(model: Background, field: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """A field with noise.

    Args:
        model: The fitted background.
        field: Counts, ([z,] y, x).
        scores: Standard normal noise of its shape, as `sample_noise` draws it.

    Returns:
        Whole counts, float32, of the field's shape.
    """
    counts = field.copy()
    rows = max(1, AT_ONCE // int(np.prod(field.shape[1:])))
    for start in range(0, len(field), rows):  # parts that the processor's cache holds: three times faster
        level, drawn = counts[start : start + rows], scores[start : start + rows]
        level += residuals_at(level, drawn, levels=model.levels, residuals=model.residuals)
        np.clip(np.rint(level, out=level), 0, model.largest, out=level)
    return counts


def mean_counts(model: Background, field: np.ndarray) -> np.ndarray:
    """What `noisy_counts` makes of a field on average over all noise: rounding and clipping shift it, too.

    Args:
        model: The fitted background.
        field: Counts, ([z,] y, x).

    Returns:
        Counts, float32, of the field's shape.
    """
    low, high = float(field.min()), float(field.max())
    levels = np.linspace(low, high, 2 + min(int((high - low) * FINE), MOST))
    chances = np.diff(ndtr((SCORES[1:] + SCORES[:-1]).astype(float) / 2), prepend=0, append=1)
    means, rows = np.empty(len(levels)), row_of(levels, model.levels)
    for row in np.unique(rows):
        counts = np.rint(levels[rows == row, None] + model.residuals[row])
        means[rows == row] = np.clip(counts, 0, model.largest) @ chances
    result = np.empty(field.shape, np.float32)
    for part, level in zip(result, field):
        part[...] = np.interp(level, levels, means)
    return result


def sample_noise(
    model: Background, shape: Sequence[int], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw standard normal noise with the background's correlation: two fields that are independent of each other.

    White noise has a white spectrum: that is drawn, and one Fourier transform of complex numbers makes both fields.

    Args:
        model: The fitted background.
        shape: Shape of the canvas, ([z,] y, x).
        generator: Source of randomness.

    Returns:
        Noise of mean 0 and variance 1, float32, of `shape`, twice: two views of one array.
    """
    reach = [n // 2 for n in model.correlation.shape]
    padded = tuple(fft.next_fast_len(max(n + lag, 2 * lag + 1)) for n, lag in zip(shape, reach))
    spectrum = generator.standard_normal((*padded, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum *= _amplitude(model, padded)
    noise = fft.ifftn(spectrum, norm="ortho", overwrite_x=True)[tuple(slice(n) for n in shape)]
    return noise.real, noise.imag


@lru_cache(maxsize=2)
def _amplitude(model: Background, shape: tuple[int, ...]) -> np.ndarray:
    """Square root of the noise's power at each frequency, float32, of mean square 1."""
    kernel = np.zeros(shape, np.float32)
    lags = [np.arange(n) - n // 2 for n in model.correlation.shape]
    kernel[np.ix_(*(lag % n for lag, n in zip(lags, shape)))] = model.correlation
    power = np.maximum(fft.fftn(kernel, overwrite_x=True).real, 0)
    return np.sqrt(power / power.mean(dtype=float)).astype(np.float32)
