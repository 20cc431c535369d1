"""What training gains over real images alone, for which objects, with regimes paired by their seeds."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cellcascade.evaluation.strata import STRATA

GAIN_KEYS = ["dataset", "reference", "train_frames"]
GAIN_COLUMNS = [
    "regime",
    "over",
    "objects",
    "gain",
    "low",
    "high",
    "seeds",
    "over_mean",
    "over_std",
    "regime_mean",
    "regime_std",
]
REGIMES = ("none", "real", "copy_paste", "synthetic", "both")
PAIRS = (*((regime, "real") for regime in REGIMES if regime != "real"), ("both", "copy_paste"))


def paired_gain(table: pd.DataFrame) -> pd.DataFrame:
    """How much SEG gains over training with real images alone, and over pasting real cells, paired by seed.

    Args:
        table: Rows of `seg.csv`: `dataset`, `regime`, `train_frames`, `seed`, `reference`, `seg`, each model and
            reference once; `seg_dim` and the others of `STRATA` where they were measured. The generalist (regime
            `none`) is not trained: one row of it stands for all seeds.

    Returns:
        One row a data set, reference, number of training frames, pair of regimes that share a seed (each regime
        over `real`, and `both` over `copy_paste`), and kind of `objects`, `all` or one of `STRATA`. `dataset`,
        `reference`, `train_frames`, `regime`, `over`, `objects`, `gain`
        (mean of the differences), `low` and `high` (95 % interval of that mean by Student's t), `seeds`, `over_mean`,
        `over_std`, `regime_mean`, `regime_std` (of the sample, divided by n - 1). What needs two seeds is NaN with one.

    Raises:
        ValueError: A model has two rows of one reference.
    """
    measured = {"all": "seg"} | {name: f"seg_{name}" for name in STRATA if f"seg_{name}" in table}
    rows = [row for objects, column in measured.items() for row in _gains(table, objects, column)]
    return pd.DataFrame(rows, columns=GAIN_KEYS + GAIN_COLUMNS)


def _gains(table: pd.DataFrame, objects: str, column: str) -> list[tuple]:
    wide = table.pivot(index=[*GAIN_KEYS, "seed"], columns="regime", values=column).reindex(columns=list(REGIMES))
    rows = []
    for key, group in wide.groupby(level=GAIN_KEYS):
        if group["none"].count() == 1:
            group = group.assign(none=group["none"].max())
        for regime, over in PAIRS:
            shared = group[[over, regime]].dropna()
            if len(shared):
                rows.append((*key, regime, over, objects, *_gain(shared[over], shared[regime])))
    return rows


def _gain(over: pd.Series, regime: pd.Series) -> tuple[float, ...]:
    difference, n = regime - over, len(over)
    half = stdtrit(n - 1, 0.975) * difference.std() / np.sqrt(n) if n > 1 else np.nan
    gain = difference.mean()
    return gain, gain - half, gain + half, n, over.mean(), over.std(), regime.mean(), regime.std()
