"""How alike the slices of a cell are made, fitted to those of real cells (paper, section 2, Eq. 2). Free of torch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["eq2", "ar1"]
FEWEST = 4  # pairs of slices that tell anything


@dataclass(frozen=True)
class Consistency:
    """How alike the noise is that slices of a cell begin with.

    Attributes:
        rho: Strength; neighbouring slices correlate by r = rho^2 / (1 + rho^2).
        kind: eq2: any two slices correlate by r (paper, Eq. 2); ar1: slices k apart by r^k.
    """

    rho: float
    kind: Kind


AS_IN_PAPER = Consistency(1.0, "eq2")


def consistency_of(
    table: pd.DataFrame, rho: float | Literal["from_data"], kind: Kind | Literal["from_data"]
) -> Consistency:
    """The consistency that the settings name, or else the one of real slices, or else the paper's.

    Args:
        table: `rho.csv` of the texture model; without rows where no real cell shows neighbouring slices.
        rho: `texture.rho`.
        kind: `texture.correlation`.
    """
    fitted = fit_consistency(table) or AS_IN_PAPER
    return Consistency(fitted.rho if rho == "from_data" else rho, fitted.kind if kind == "from_data" else kind)


def fit_consistency(table: pd.DataFrame) -> Consistency | None:
    """The consistency by which slices come out as alike as real ones; `None` if too little was measured.

    Its strength is interpolated over the noise's correlation, of which likeness is nearly a linear function. It is the
    smallest or the largest measured one where real slices are less or more alike than all synthetic ones. Its kind is
    the one that tells better how alike real slices are that are two and three apart; eq2 if none are.

    Args:
        table: Columns rho, synthetic, real, pairs, and apart, as `diffusion.texture.monitor` measures them. Tables of
            earlier versions lack `apart`, which then is 1.
    """
    if table.empty or (near := neighbours_of(table)).empty:
        return None
    shared = _correlation(near["rho"])
    best = float(np.interp(near["real"].iloc[0], np.maximum.accumulate(near["synthetic"]), shared))
    slope = np.polyfit(shared, near["synthetic"], 1)[0] if len(near) > 1 else 0.0
    measured = _with_distances(table)
    far = measured[measured["apart"] > 1]
    missing = {kind: _missing(far, slope, best, kind) for kind in ("eq2", "ar1")}
    return Consistency((best / (1 - best)) ** 0.5, "ar1" if missing["ar1"] < missing["eq2"] else "eq2")


def neighbours_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of neighbouring slices, of those that were measured."""
    measured = _with_distances(table)
    return measured[measured["apart"] == 1]


def _with_distances(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold a measure of enough pairs, also of tables of earlier versions."""
    measured = (table if "apart" in table else table.assign(apart=1)).dropna()
    return measured[measured["pairs"] >= FEWEST]


def _correlation(rho: pd.Series) -> pd.Series:
    """Correlation of the noise of neighbouring slices."""
    return rho**2 / (1 + rho**2)


def _missing(far: pd.DataFrame, slope: float, correlation: float, kind: str) -> float:
    """How far slices that are further apart would be from real ones, as a sum of squares.

    Args:
        far: Rows of slices that are more than one apart, textured with noise of their own.
        slope: Likeness that a correlation of 1 of the noise adds.
        correlation: Correlation of the noise of neighbouring slices.
        kind: eq2 or ar1.
    """
    added = slope * correlation ** (far["apart"] if kind == "ar1" else 1)
    return float(((far["synthetic"] + added - far["real"]) ** 2).sum())
