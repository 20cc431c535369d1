"""The light across a cell's edge: how far the texture model's is from the real one, and its correction.

A model that is not trained to the end draws edges a little off: where an edge is uncertain it averages over its places,
and does so on root counts. Pasted cells would have a dark rim or a halo, and a network that learns from them would
segment too widely or too narrowly. The error depends on the distance from the outline and on the cell's contrast, and
is measured on real outlines, for which the right answer is known.
"""

from dataclasses import dataclass

import numpy as np

from cellcascade.diffusion.texture.hints import CellHints

EDGES = np.arange(-6.0, 7.0)  # bounds of the distances, pixels; what lies beyond the last ones counts to their side
LARGEST_GAIN = 2.0  # of counts, and its inverse the smallest
FEW = 16  # crops; of fewer, one number is learned at each distance
USUAL, SCATTER = 0.1, 0.15  # of a contrast: the model's error, before anything is seen, and how much cells differ


@dataclass(frozen=True)
class Profile:
    """Mean light at distances from the outline, for each distance linear in what `_features` tells of a cell.

    Attributes:
        real: Coefficients of real cells `(distance, feature)`; they give shares of the window's counts.
        drawn: The same of the model's cells.
        contrasts: Least and greatest contrast of the cells that were measured `(2,)`; of others, the nearer one counts.
    """

    real: np.ndarray
    drawn: np.ndarray
    contrasts: np.ndarray

    def gain(self, hints: CellHints) -> np.ndarray:
        """Factor `(n, y, x)` by which the counts of cells with these hints are to be multiplied."""
        features, place = _features(hints, self.contrasts), np.digitize(hints.distance, EDGES)
        real, drawn = (np.einsum("nf,df->nd", features, each) for each in (self.real, self.drawn))
        gains = np.clip(real / np.maximum(drawn, 1e-6), 1 / LARGEST_GAIN, LARGEST_GAIN)
        return np.stack([of_cell[where] for of_cell, where in zip(gains, place)])


def fit_profile(real: np.ndarray, drawn: np.ndarray, hints: CellHints, crops: np.ndarray | None = None) -> Profile:
    """Compare drawn cells with the real ones whose hints they were drawn by.

    Args:
        real: Real cells `(n, y, x)`, counts as shares of the window.
        drawn: Drawn cells `(n, y, x)`, likewise.
        hints: Their hints.
        crops: Number of the crop that each is `(n,)`; one may come several times. `None`: none does.
    """
    crops = np.arange(len(real)) if crops is None else crops
    place, contrasts = np.digitize(hints.distance, EDGES), np.array([hints.contrast.min(), hints.contrast.max()])
    if len(np.unique(crops)) < FEW:
        return _of_few(real, drawn, hints, crops, place, contrasts)
    of_real, of_drawn = (_coefficients(light, place, hints, contrasts) for light in (real, drawn))
    return Profile(of_real, of_drawn, contrasts)


def _of_few(
    real: np.ndarray, drawn: np.ndarray, hints: CellHints, crops: np.ndarray, place: np.ndarray, contrasts: np.ndarray
) -> Profile:
    """The profile of few crops: the background, and a share of the contrast at each distance.

    What they show of the model's error is trusted less, the fewer they are and the more they differ: else the texture
    of a few cells would be drawn into all others, as rings.
    """
    contrast = np.maximum(hints.contrast, 1e-3)
    background = np.maximum(hints.brightness - hints.contrast, 1e-6)
    of_real, of_drawn = np.zeros((2, len(EDGES) + 1, _features(hints, contrasts).shape[1]))
    of_real[:, 0] = of_drawn[:, 0] = background.mean()
    for distance in np.unique(place):
        here = place == distance
        seen, count = here.any((1, 2)), here.sum((1, 2))
        shares = [
            ((light * here).sum((1, 2)) / np.maximum(count, 1) - background) / contrast for light in (real, drawn)
        ]
        each = np.unique(crops[seen])
        error = np.array([(shares[0] - shares[1])[seen & (crops == crop)].mean() for crop in each])
        spread = (((error - error.mean()) ** 2).sum() + 2 * SCATTER**2) / (len(error) + 1)
        trusted = USUAL**2 / (USUAL**2 + spread / len(error))
        of_drawn[distance, 1] = shares[1][seen].mean()
        of_real[distance, 1] = of_drawn[distance, 1] + trusted * error.mean()
    return Profile(of_real, of_drawn, contrasts)


def _features(hints: CellHints, contrasts: np.ndarray) -> np.ndarray:
    """What the light at a distance is made of `(n, 4)`.

    The background, and a share of the contrast, as at a blurred edge; the contrast times the relative area, since light
    of wider slices reaches into narrow ones; and the contrast's root, since a model errs on root counts.
    """
    contrast = np.clip(hints.contrast, *contrasts)
    root = np.sqrt(np.maximum(contrast, 0))
    return np.stack([np.ones_like(contrast), contrast, contrast * hints.relative_area, root], 1)


def _coefficients(light: np.ndarray, place: np.ndarray, hints: CellHints, contrasts: np.ndarray) -> np.ndarray:
    """Least squares `(distance, feature)` of the mean light at each distance; cells weigh as shot noise makes them."""
    features, shot = _features(hints, contrasts), np.maximum(hints.brightness, 1e-3)
    found = np.zeros((len(EDGES) + 1, features.shape[1]))
    for distance in np.unique(place):
        here = place == distance
        count = here.sum((1, 2))
        mean, weight = (light * here).sum((1, 2)) / np.maximum(count, 1), np.sqrt(count / shot)
        found[distance] = np.linalg.lstsq(features * weight[:, None], mean * weight, rcond=1e-6)[0]
    return found
