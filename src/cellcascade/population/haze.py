"""Light that cells shed on the background around them, further than their crops show: haze.

What a microscope makes of a point has wide, faint wings. So the haze is the cells' light, blurred by a few Gaussians of
growing width; how much of each is fitted to the real background. In 2D only: in stacks, how light falls from slice to
slice stands for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

from cellcascade.population.interpolation import expand

WIDTHS = (0.15, 0.3, 0.6, 1.2)  # of the Gaussians, as shares of a cell's diameter
NEAR = 2  # of them that have fallen to nothing within a crop; the others' light is of the crop's own background
FINE = 4  # blocks to the width of a Gaussian, at least
SAMPLES = 20_000  # pixels of each frame that it is fitted to
ROUNDS = 3  # of the fit; each leaves out what the one before does not explain
OUTLYING = 4  # standard deviations of what is left
LEAST = 0.02  # share of the background's variance that haze must explain


@dataclass(frozen=True)
class Haze:
    """A fitted haze.

    Attributes:
        widths: Of its Gaussians, pixels, as many as `WIDTHS`; empty: there is no haze.
        weights: Share of the cells' light that each spreads.
    """

    widths: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def of(self, light: np.ndarray) -> np.ndarray:
        """The haze of cells: counts, float32, (y, x), of every pixel, those of cells as well.

        Args:
            light: Counts above the background within the cells, 0 elsewhere, (y, x).
        """
        return sum(self.parts(light), np.zeros(light.shape, np.float32))

    def parts(self, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The haze that crops show, at least in part, and the haze that lies over all of a crop; see `of`."""
        haze = np.zeros((2, *light.shape), np.float32)
        for number, (width, weight) in enumerate(zip(self.widths, self.weights)):
            if weight:
                haze[int(number >= NEAR)] += np.float32(weight) * _blurred(light, width)
        near, far = haze
        return near, far


@dataclass(frozen=True)
class Lit:
    """Pixels of a frame's background, and the light that may have come to them.

    Attributes:
        counts: Counts of some pixels (pixel,), less their mean.
        light: What each Gaussian brings them of the cells' light (pixel, Gaussian), less its mean.
    """

    counts: np.ndarray
    light: np.ndarray


def lit_pixels(
    image: np.ndarray, light: np.ndarray, free: np.ndarray, diameter: float, generator: np.random.Generator
) -> Lit | None:
    """What a frame tells of the haze; `None` if it has no such pixel.

    Args:
        image: Counts, (y, x).
        light: See `Haze.of`.
        free: Background beyond the cells' rims, (y, x).
        diameter: Of a cell, pixels.
        generator: Chooses pixels.
    """
    where = np.flatnonzero(free)
    if not len(where):
        return None
    where = where if len(where) <= SAMPLES else generator.choice(where, SAMPLES, replace=False)
    brought = np.stack([_blurred(light, share * diameter).ravel()[where] for share in WIDTHS], 1).astype(float)
    counts = image.ravel()[where].astype(float)
    return Lit(counts - counts.mean(), brought - brought.mean(0))


def fit_haze(frames: Sequence[Lit], diameter: float) -> Haze:
    """The haze that explains the background of some frames best; none if it explains next to nothing.

    Args:
        frames: What each frame tells.
        diameter: Of a cell, pixels.
    """
    if not frames:
        return Haze()
    counts, light = (np.concatenate([getattr(frame, name) for frame in frames]) for name in ("counts", "light"))
    kept, weights = np.ones(len(counts), bool), np.zeros(len(WIDTHS))
    for _ in range(ROUNDS):
        weights = nnls(light[kept], counts[kept])[0]
        left = counts - light @ weights
        middle = np.median(left)
        kept = np.abs(left - middle) <= OUTLYING * 1.4826 * max(float(np.median(np.abs(left - middle))), 0.1)
    if np.var(left[kept]) > (1 - LEAST) * np.var(counts[kept]):
        return Haze()
    return Haze(tuple(share * diameter for share in WIDTHS), tuple(weights.tolist()))


def _blurred(light: np.ndarray, width: float) -> np.ndarray:
    """A plane (y, x) blurred by a Gaussian, with nothing beyond its border; in blocks of pixels where it is wide."""
    block, (height, length) = max(1, int(width / FINE)), light.shape
    padded = np.pad(light.astype(np.float32), [(0, -height % block), (0, -length % block)])
    rows, columns = (n // block for n in padded.shape)
    coarse = padded.reshape(rows, block, columns, block).mean((1, 3))
    blurred = ndimage.gaussian_filter(coarse, width / block, mode="constant")
    return expand(blurred, padded.shape)[:height, :length]
