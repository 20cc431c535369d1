"""Distributions of real and of synthetic values, property by property."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import wasserstein_distance

SIDES = ("real_mean", "real_std", "synthetic_mean", "synthetic_std")
AGREEMENT = ("property", *SIDES, "w1_over_std", "n_real", "n_synthetic")
COLUMNS = (*AGREEMENT, "shift_over_std", "real_median", "synthetic_median")


def compare_values(values: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> pd.DataFrame:
    """Compare real and synthetic values, property by property; NaN among them do not count.

    Args:
        values: Real and synthetic values of each property; either may be empty.

    Returns:
        One row per property, the columns `COLUMNS`: `property`, `real_mean`, `real_std`, `synthetic_mean`,
        `synthetic_std`, `w1_over_std` (Wasserstein-1 distance divided by the real standard deviation), `n_real`,
        `n_synthetic`, `shift_over_std` (difference of the means, synthetic minus real, divided likewise),
        `real_median`, `synthetic_median`. Standard deviations are those of the sample (divided by n). What needs
        values that are missing, or real values that vary, is NaN.
    """
    rows = [_compared(name, *map(_numbers, pair)) for name, pair in values.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_tables(real: pd.DataFrame, synthetic: pd.DataFrame) -> pd.DataFrame:
    """Compare two tables of measures, a row for each of their columns; see `compare_values`."""
    return compare_values({name: (real[name], synthetic[name]) for name in real.columns})


def side_by_side(real: pd.DataFrame, synthetic: pd.DataFrame) -> pd.DataFrame:
    """Measures of real and of synthetic cells, a row per cell, in one table: `side` says which it is of."""
    return pd.concat({"real": real, "synthetic": synthetic}, names=["side"]).reset_index("side")


def _numbers(values: ArrayLike) -> np.ndarray:
    numbers = np.asarray(values, float)
    return numbers[~np.isnan(numbers)]


def _compared(name: str, real: np.ndarray, synthetic: np.ndarray) -> dict[str, str | float]:
    row: dict[str, str | float] = {"property": name, "n_real": len(real), "n_synthetic": len(synthetic)}
    for side, numbers in (("real", real), ("synthetic", synthetic)):
        if len(numbers):
            row |= {f"{side}_mean": numbers.mean(), f"{side}_std": numbers.std(), f"{side}_median": np.median(numbers)}
    if len(real) and len(synthetic) and real.std() > 0:
        row["w1_over_std"] = wasserstein_distance(real, synthetic) / real.std()
        row["shift_over_std"] = (synthetic.mean() - real.mean()) / real.std()
    return row
