"""The light across a cell's edge: how far the texture model's is from the real one, and its correction.

A model that is not trained to the end draws edges a little off: where an edge is uncertain it averages over its places,
and does so on root counts. Pasted cells would have a dark rim or a halo, and a network that learns from them would
segment too widely or too narrowly. The error hangs on the distance from the outline and on the cell's contrast, and is
measured on real outlines, for which the right answer is known.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cellcascade.diffusion.texture_hints import contrasts, distances, relative_areas

EDGES = np.arange(-6.0, 7.0)  # bounds of the distances, pixels; what lies beyond the last ones counts to their side
LARGEST_GAIN = 2.0  # of counts, and its inverse the smallest


@dataclass(frozen=True)
class Profile:
    """Mean light at distances from the outline, for each distance linear in what `_features` tells of a cell.

    Linear, since a blurred edge shows the background and a share of the contrast that hangs on the distance alone.

    Attributes:
        real: Coefficients of real cells `(distance, feature)`; they give shares of the window's counts.
        drawn: The same of the model's cells.
    """

    real: np.ndarray
    drawn: np.ndarray

    def gain(self, hints: Tensor) -> np.ndarray:
        """Factor `(n, y, x)` by which the counts of cells with these hints `(n, c, y, x)` are to be multiplied."""
        place, features = np.digitize(distances(hints), EDGES), _features(hints)
        real, drawn = (np.einsum("nyxf,nf->nyx", each[place], features) for each in (self.real, self.drawn))
        return np.clip(real / np.maximum(drawn, 1e-6), 1 / LARGEST_GAIN, LARGEST_GAIN)


def fit_profile(real: np.ndarray, drawn: np.ndarray, hints: Tensor) -> Profile:
    """Compare drawn cells with the real ones whose hints they were drawn by.

    Args:
        real: Real cells `(n, y, x)`, counts as shares of the window.
        drawn: Drawn cells `(n, y, x)`, likewise.
        hints: Their hints `(n, c, y, x)`.
    """
    place, features = np.digitize(distances(hints), EDGES), _features(hints)
    return Profile(*(_coefficients(light, place, features) for light in (real, drawn)))


def _features(hints: Tensor) -> np.ndarray:
    """One, contrast, and contrast times relative area `(n, 3)`: light of wider slices reaches into narrow ones."""
    contrast = contrasts(hints)
    return np.stack([np.ones_like(contrast), contrast, contrast * relative_areas(hints)], 1)


def _coefficients(light: np.ndarray, place: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Least squares `(distance, feature)` of the mean light at each distance, all pixels weighing the same."""
    found = np.zeros((len(EDGES) + 1, features.shape[1]))
    for distance in np.unique(place):
        count = (place == distance).sum((1, 2))
        mean, root = (light * (place == distance)).sum((1, 2)) / np.maximum(count, 1), np.sqrt(count)
        found[distance] = np.linalg.lstsq(features * root[:, None], mean * root, rcond=1e-6)[0]
    return found
