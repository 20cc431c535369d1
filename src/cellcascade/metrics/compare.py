"""Distributions of real and of synthetic values, property by property."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance


def agreement(real: pd.DataFrame, synthetic: pd.DataFrame) -> pd.DataFrame:
    """Compare two tables of `measure`, property by property.

    Returns:
        One row a property: `property`, `real_mean`, `real_std`, `synthetic_mean`, `synthetic_std`,
        `w1_over_std` (Wasserstein-1 distance divided by the real standard deviation; NaN where the
        real values do not vary), `n_real`, `n_synthetic`. Standard deviations are those of the
        sample (divided by n).
    """
    rows = []
    for name in real.columns:
        true, made = real[name].to_numpy(), synthetic[name].to_numpy()
        spread = true.std()
        distance = wasserstein_distance(true, made) / spread if spread > 0 else np.nan
        rows.append(
            {
                "property": name,
                "real_mean": true.mean(),
                "real_std": spread,
                "synthetic_mean": made.mean(),
                "synthetic_std": made.std(),
                "w1_over_std": distance,
                "n_real": len(true),
                "n_synthetic": len(made),
            }
        )
    return pd.DataFrame(rows)


COLUMNS = [
    *("property", "real_mean", "real_std", "synthetic_mean", "synthetic_std", "w1_over_std", "n_real", "n_synthetic"),
    *("shift_over_std", "real_median", "synthetic_median"),
]


def compare_values(values: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Compare real and synthetic values, property by property; NaN among them do not count.

    Args:
        values: Real and synthetic values of each property; either may be empty.

    Returns:
        One row a property: the columns of `shape.agreement`, then `shift_over_std` (difference of the means over the
        real standard deviation), `real_median` and `synthetic_median`. NaN where values are missing.
    """
    rows = []
    for name, pair in values.items():
        real, made = (column[~np.isnan(column)] for column in (np.asarray(side, float) for side in pair))
        if len(real) and len(made):
            row = agreement(pd.DataFrame({name: real}), pd.DataFrame({name: made})).iloc[0].to_dict()
            row["shift_over_std"] = (made.mean() - real.mean()) / real.std() if real.std() > 0 else np.nan
        else:
            row = {"property": name, "n_real": len(real), "n_synthetic": len(made)}
            for side, column in (("real", real), ("synthetic", made)):
                row |= {f"{side}_mean": column.mean(), f"{side}_std": column.std()} if len(column) else {}
        medians = (float(np.median(column)) if len(column) else np.nan for column in (real, made))
        rows.append(row | dict(zip(("real_median", "synthetic_median"), medians)))
    return pd.DataFrame(rows, columns=COLUMNS)
