"""Single cells without the camera's noise.

The finest differences of pixels tell noise from structure, which hardly has any. How strong they are in noise that
correlates as the background's does says how much noise a cell has; total variation takes it away. What that takes of
the coarse light is given back.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from cellcascade.population.background import Background
from cellcascade.population.canvas_background import sample_noise
from cellcascade.population.cell_library import Cell, light_of, local_mean

EDGE = 128  # of the noise that is looked at, pixels
GRAIN = 2.0  # Gaussian width of what does not count as grain, pixels
REST = 0.05  # share of the noise's grain that may be left
STRENGTHS = 1.4 * 1.25 ** np.arange(6)  # of total variation, for noise of standard deviation 1
COARSE = 3.0  # Gaussian width of the coarse light, pixels


@dataclass(frozen=True)
class Noise:
    """Noise of standard deviation 1 that correlates as a background's does.

    Attributes:
        differences: Variance of its finest differences.
        strength: Of the total variation by which it is gone.
    """

    differences: float
    strength: float


@lru_cache(maxsize=2)
def noise_like(model: Background) -> Noise:
    """The noise of a background in the plane."""
    shape = (1, EDGE, EDGE)
    drawn = sample_noise(model, shape[-model.correlation.ndim :], np.random.default_rng(0))[0].reshape(shape)
    noise = drawn / drawn.std()
    wanted = REST * _grain(noise)
    enough = (strength for strength in STRENGTHS if _grain(_flattened(noise, strength)) <= wanted)
    return Noise(float((_differences(noise) ** 2).mean()), float(next(enough, STRENGTHS[-1])))


def still_cell(cell: Cell, noise: Noise) -> Cell:
    """A cell without noise, in itself and around it; its gain is what makes shot noise as strong as the noise was.

    Its mean counts stay, and so does what is as coarse as `COARSE`. A cell without noise stays as it is, with gain 0.

    Args:
        cell: The cell.
        noise: What noise is like.
    """
    variance = _variance(cell, cell.mask, noise)
    clean = _flattened(cell.image, noise.strength * variance**0.5) if variance else cell.image
    for where in (cell.mask, ~cell.mask):
        clean = np.where(where, clean + local_mean(cell.image - clean, where, COARSE), clean)
    clean[cell.mask] += (cell.image - clean)[cell.mask].mean()
    light = (clean - cell.level)[cell.mask].mean()
    of_light = variance - _variance(cell, ~cell.mask, noise)
    return replace(
        cell,
        image=clean,
        around=local_mean(clean, ~cell.mask),
        signal=light_of(clean, cell.mask, cell.level)[0],
        gain=float(max(of_light, 0) / light) if light > 0 else 0.0,
    )


def _variance(cell: Cell, where: np.ndarray, noise: Noise) -> float:
    """Variance of the noise at some voxels of a cell's crop, by its finest differences: at most that of all grain."""
    inner = ndimage.binary_erosion(where, np.ones((1, 3, 3)))  # differences reach one pixel far
    inner = inner if inner.any() else where
    if not inner.any():
        return 0.0
    grain = cell.image - ndimage.gaussian_filter(cell.image, (0, GRAIN, GRAIN))
    differences = float((_differences(cell.image)[inner] ** 2).mean())
    return min(differences / noise.differences, float(grain[inner].var()))


def _differences(image: np.ndarray) -> np.ndarray:
    """The finest differences of pixels, (z, y, x): second ones along y of second ones along x."""
    for axis in (-2, -1):
        image = ndimage.correlate1d(image, (1, -2, 1), axis=axis)
    return image


def _flattened(image: np.ndarray, strength: float) -> np.ndarray:
    """An image (z, y, x) with less total variation, slice by slice: slices may be too far apart to help each other."""
    return denoise_tv_chambolle(image, weight=strength, channel_axis=0)


def _grain(image: np.ndarray) -> float:
    """Standard deviation of what is finer than a Gaussian, in an image (z, y, x)."""
    return float((image - ndimage.gaussian_filter(image, (0, GRAIN, GRAIN))).std())
