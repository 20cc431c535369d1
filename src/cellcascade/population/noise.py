"""Statistics of background noise: its distribution around the field, and how neighbouring pixels correlate.

The distribution is kept as quantiles of counts minus field at standard normal scores, by level of the field. Noise of
that distribution is made from Gaussian noise: `residuals_at` maps scores to counts, `gaussian_correlation` says which
correlation the scores need.
"""

import numpy as np
from numpy.polynomial import hermite_e
from scipy import fft
from scipy.special import gammaln, ndtr

SCORES = np.linspace(-4.5, 4.5, 721, dtype=np.float32)  # standard normal scores at which quantiles are stored
LEVELS = 16  # field levels with quantiles of their own
FLAT = 1e-9  # variance that is none
LAGS = (6, 32, 32)  # farthest lag of the correlation in z, y, x


def quantiles(level: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of the residuals at `SCORES`, in classes of equally many pixels by field level.

    Args:
        level: The field at background pixels, counts, (pixel,).
        residual: Counts minus field at these pixels, (pixel,).

    Returns:
        Mean level of each class, (level,), and its residuals at `SCORES`, (level, score).
    """
    edges = np.unique(np.quantile(level, np.linspace(0, 1, LEVELS + 1)[1:-1]))
    row = np.searchsorted(edges, level)
    rows: list[int | None] = [index for index in range(len(edges) + 1) if np.count_nonzero(row == index) >= 50]
    chosen = [np.ones(len(row), bool) if index is None else row == index for index in rows or [None]]
    return (
        np.array([level[here].mean() for here in chosen], np.float32),
        np.array([np.quantile(residual[here], ndtr(SCORES.astype(float))) for here in chosen], np.float32),
    )


def residuals_at(level: np.ndarray, scores: np.ndarray, *, levels: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Map standard normal scores to counts minus field.

    Args:
        level: The field, counts, of any shape.
        scores: Standard normal scores, of that shape.
        levels: Field levels, as `quantiles` gives them, (level,).
        residuals: Residuals at `SCORES`, as `quantiles` gives them, (level, score).

    Returns:
        Counts minus field, of that shape.
    """
    row = row_of(level, levels).astype(np.int32)
    column = np.clip(scores, SCORES[0], SCORES[-1])
    column -= SCORES[0]
    column *= np.float32(1 / float(SCORES[1] - SCORES[0]))
    column += np.float32(0.5)
    return residuals.ravel().take(row * len(SCORES) + column.astype(np.int32))


def row_of(level: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Which of the levels, as `quantiles` gives them, is nearest to each value of a field."""
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, level)


def correlation_of(residual: np.ndarray, level: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Correlation of a frame's noise, in units of its standard deviation at each level: noise grows with the level.

    Args:
        residual: Counts minus field, ([z,] y, x).
        level: The field, counts, ([z,] y, x).
        usable: Background pixels, ([z,] y, x).

    Returns:
        Correlation at each lag up to `LAGS`, lag 0 in the middle, ([z,] y, x).
    """
    return _tapered(_autocovariance(_standardised(residual, level, usable), usable))


def gaussian_correlation(counts: np.ndarray, levels: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Correlation that Gaussian noise needs so that, mapped to counts, it has the correlation `counts`.

    With the Hermite coefficients c_k of the map, Gaussian correlation r becomes sum(c_k^2 r^k) / sum(c_k^2).

    Args:
        counts: Correlation of the counts, lag 0 in the middle, ([z,] y, x).
        levels: Field levels, as `quantiles` gives them, (level,).
        residuals: Residuals at `SCORES`, as `quantiles` gives them, (level, score).

    Returns:
        Correlation of the Gaussian noise, float32, of the shape of `counts`.
    """
    density = np.exp(-(SCORES.astype(float) ** 2) / 2)
    density /= density.sum()
    values = np.rint(levels[:, None] + residuals)
    values = values - (values * density).sum(1, keepdims=True)
    variance = (values**2 * density).sum(1).mean()
    if variance < FLAT:
        return counts.astype(np.float32)
    orders = np.arange(1, 31)
    basis = np.stack([hermite_e.hermeval(SCORES.astype(float), np.eye(32)[k]) for k in orders])
    squares = ((values * density) @ basis.T) ** 2 / np.exp(gammaln(orders + 1))
    gaussian = np.linspace(-1, 1, 401)
    mapped = (squares.mean(0) * gaussian[:, None] ** orders).sum(1) / variance
    mapped[-1] = 1.0
    return np.interp(counts, np.maximum.accumulate(mapped), gaussian).astype(np.float32)


def _standardised(residual: np.ndarray, level: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Residuals in units of the standard deviation at their field level, 0 where not usable."""
    edges = np.unique(np.quantile(level[usable], np.linspace(0, 1, LEVELS + 1)[1:-1]))
    row = np.searchsorted(edges, level[usable])
    values = residual[usable]
    count = np.maximum(np.bincount(row, minlength=len(edges) + 1), 1)
    mean = np.bincount(row, values, len(edges) + 1) / count
    spread = np.sqrt(np.maximum(np.bincount(row, values**2, len(edges) + 1) / count - mean**2, 1e-6))
    result = np.zeros(residual.shape, np.float32)
    result[usable] = (values - mean[row]) / spread[row]
    return result


def _autocovariance(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Mean product of pairs of usable pixels at each lag up to `LAGS`."""
    reach = [min(lag, n - 1) for lag, n in zip(LAGS[-values.ndim :], values.shape)]
    padded = tuple(fft.next_fast_len(n + lag, real=True) for n, lag in zip(values.shape, reach))
    window = np.ix_(*(np.arange(-lag, lag + 1) % n for lag, n in zip(reach, padded)))
    products, pairs = (
        fft.irfftn(np.abs(fft.rfftn(item.astype(np.float32), s=padded)) ** 2, s=padded)[window]
        for item in (values, usable)
    )
    return np.where(pairs > 0.5, products / np.maximum(pairs, 1), 0.0)


def _tapered(covariance: np.ndarray) -> np.ndarray:
    """Normalise to 1 at lag 0 and fade out the farther half of the lags in y and x, where noise prevails.

    Where all pixels are equal there is nothing to correlate: that counts as white noise.
    """
    middle = tuple(n // 2 for n in covariance.shape)
    if covariance[middle] < FLAT:
        correlation = np.zeros(covariance.shape)
        correlation[middle] = 1
        return correlation
    correlation = covariance / covariance[middle]
    for axis in (-2, -1):
        n = correlation.shape[axis] // 2
        share = np.clip(2 - 2 * np.abs(np.arange(-n, n + 1)) / max(n, 1), 0, 1)
        correlation = correlation * np.moveaxis(share.reshape(-1, *[1] * (correlation.ndim - 1)), 0, axis)
    return np.clip(correlation, -0.99, 1)
