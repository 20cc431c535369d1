"""How likely a segmentation network is to miss a cell, by its size, brightness and shape; and how often it is drawn.

The chance is learned from the annotated cells, each judged by a network that had not seen it. Cells that a network
sometimes finds and sometimes misses teach it most; one that no network can see teaches it to guess. That a cell touches
others is learned from as well, so that this is not put down to its size. Which cells of the library will touch is not
known before they are placed: they count as touching as often as the annotated ones.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit
from skimage.measure import regionprops

MISSED = (
    0.7  # IoU below which a cell is missed: the middle of the thresholds from 0.5 to 0.9 that results are scored by
)
TRAITS = ("area", "brightness", "eccentricity")
Traits = tuple[float, float, float]
AROUND = 8  # pixels around a cell's box that are its surroundings
FAINTEST = 0.05  # of the median brightness: what is dimmer counts as this
SLOPES = 0.5  # standard deviation of the slopes before anything is seen: log odds per standard deviation of a trait
UNSEEN = 0.5  # weight of the missed cell, and of the found one, that are supposed before anything is seen
DIGITS = 6  # of the fit: what comes after them may differ from machine to machine


@dataclass(frozen=True)
class Misses:
    """The chance of a miss: a logistic regression on log area, log brightness, eccentricity, and contact.

    Attributes:
        faintest: Brightness, counts; dimmer cells count as this.
        low: Least value of each feature among the cells it was learned from (3); others count as the outermost.
        high: Largest value, likewise.
        mean: Their means (3).
        std: Their standard deviations (3).
        coefficients: Log odds of a miss at the means, that of contact too, and slopes per standard deviation (4).
        peak: Largest p (1 - p) among these cells, with p what `chance` gives.
    """

    faintest: float
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    coefficients: np.ndarray
    peak: float

    def chance(self, traits: np.ndarray) -> np.ndarray:
        """Chance of a miss (n) of cells with the traits (n, 3) of `cell_traits`, their contact that of the average."""
        features = np.clip(_features(traits, self.faintest), self.low, self.high)
        return expit(self.coefficients[0] + (features - self.mean) / self.std @ self.coefficients[1:])

    def weights(self, traits: np.ndarray, focus: float) -> np.ndarray:
        """How often cells are drawn (n), relative to those that are always found or always missed, which have 1.

        Args:
            traits: The cells' traits (n, 3), see `cell_traits`.
            focus: `population.focus`; the largest weight is 1 + focus.
        """
        chance = self.chance(traits)
        return 1 + focus * np.minimum(chance * (1 - chance) / self.peak, 1).round(DIGITS)


def read_misses(hardness: Path) -> Misses:
    """The chance of a miss, learned from the table of the stage `hardness`."""
    return fit_misses(pd.read_csv(hardness))


def fit_misses(cells: pd.DataFrame) -> Misses:
    """Learn the chance of a miss.

    Few cells say little: by the prior on the slopes, all cells then have nearly the chance of the average one. Without
    any it is a half.

    Args:
        cells: A row per judged cell: `TRAITS`, `touching`, `iou`, and `border`; cells that the border cuts are left
            out, as no cell of the library is cut.
    """
    whole = cells[~cells["border"].astype(bool)]
    traits, missed = whole[[*TRAITS]].to_numpy(float), whole["iou"].to_numpy(float) < MISSED
    if not len(whole):
        nothing, one = np.zeros(3), np.ones(3)
        return Misses(1.0, nothing, nothing, nothing, one, np.zeros(4), 0.25)
    faintest = max(FAINTEST * float(np.median(traits[:, 1])), 1e-3)
    features = _features(traits, faintest)
    mean, std = features.mean(0), _spread(features)
    contact = whole[["touching"]].to_numpy(float)
    known = np.hstack([(features - mean) / std, (contact - contact.mean()) / _spread(contact)])
    model = Misses(faintest, features.min(0), features.max(0), mean, std, _fit(known, missed)[:-1], 0.25)
    chance = model.chance(traits)
    return replace(model, peak=float((chance * (1 - chance)).max()))


def cell_traits(image: np.ndarray, mask: np.ndarray, free: np.ndarray, *, level: float) -> Traits:
    """What the chance of a miss depends on.

    Args:
        image: Counts (y, x).
        mask: A cell (y, x), bool.
        free: Where no cell is (y, x), bool.
        level: The background, counts, where no pixel near the cell is free.

    Returns:
        Area, pixels; mean counts above the median of the free pixels in the cell's box and 8 pixels around it;
        eccentricity, 0 for a circle to 1 for a line.
    """
    (cell,) = regionprops(mask.astype(np.uint8))
    y, x, below, right = cell.bbox
    box = slice(max(y - AROUND, 0), below + AROUND), slice(max(x - AROUND, 0), right + AROUND)
    outside = image[box][free[box]]
    around = float(np.median(outside)) if outside.size else level
    return float(cell.area), float(image[mask].mean()) - around, float(cell.eccentricity)


def _features(traits: np.ndarray, faintest: float) -> np.ndarray:
    area, brightness, eccentricity = traits.T
    return np.stack([np.log(area), np.log(np.maximum(brightness, faintest)), eccentricity], 1)


def _spread(features: np.ndarray) -> np.ndarray:
    return np.maximum(features.std(0), 1e-6)


def _fit(features: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Coefficients of the most probable logistic regression, given cells (n, 4), which of them were missed, and priors.

    Half a missed and half a found cell with the mean features are added, so that the log odds stay finite.
    """
    rows = np.vstack([np.insert(features, 0, 1, axis=1), np.eye(1, 1 + features.shape[1]).repeat(2, 0)])
    signs = np.append(np.where(missed, 1.0, -1.0), (1, -1))
    weights = np.append(np.ones(len(features)), (UNSEEN, UNSEEN))
    precision = np.append(0, np.ones(features.shape[1])) / SLOPES**2

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        odds = signs * (rows @ values)
        slope = -signs * weights * expit(-odds)
        total = (weights * np.logaddexp(0, -odds)).sum() + (precision * values**2).sum() / 2
        return float(total), rows.T @ slope + precision * values

    found = minimize(loss, np.zeros(len(precision)), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15})
    return found.x.round(DIGITS)
