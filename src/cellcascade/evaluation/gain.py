"""What training gains over real images alone, for which objects, with regimes paired by their seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cellcascade.evaluation.strata import STRATA

GAIN_KEYS = ["dataset", "reference", "train_frames"]
GAIN_COLUMNS = [
    "regime",
    "over",
    "objects",
    "measure",
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
RECALLS = (50, 60, 70, 80, 90, 95)  # percent of the reference objects, at which precision is compared
# What is found where nothing is, which SEG does not see, counts in these:
PRECISIONS = ("ap_50", "ap_75", "ap_90", *(f"precision_at_{recall}" for recall in RECALLS))
PAIRS = (*((regime, "real") for regime in REGIMES if regime != "real"), ("both", "copy_paste"))


def paired_gain(table: pd.DataFrame) -> pd.DataFrame:
    """How much is gained over training with real images alone, and over pasting real cells, paired by seed.

    Args:
        table: Rows of `seg.csv`: `dataset`, `regime`, `train_frames`, `seed`, `reference`, `seg`, each model and
            reference once; `seg_dim` and the others of `STRATA`, and `PRECISIONS`, where they were measured. The
            generalist (regime `none`) is not trained: one row of it stands for all seeds.

    Returns:
        One row a data set, reference, number of training frames, pair of regimes that share a seed (each regime
        over `real`, and `both` over `copy_paste`), kind of `objects`, `all` or one of `STRATA`, and measure, `seg` or
        of all objects one of `PRECISIONS`. `dataset`, `reference`, `train_frames`, `regime`, `over`, `objects`,
        `measure`, `gain`
        (mean of the differences), `low` and `high` (95 % interval of that mean by Student's t), `seeds`, `over_mean`,
        `over_std`, `regime_mean`, `regime_std` (of the sample, divided by n - 1). What needs two seeds is NaN with one.

    Raises:
        ValueError: A model has two rows of one reference.
    """
    measured = [("all", "seg", "seg"), *((name, "seg", f"seg_{name}") for name in STRATA)]
    measured += [("all", name, name) for name in PRECISIONS]
    rows = [row for *what, column in measured if column in table for row in _gains(table, what, column)]
    return pd.DataFrame(rows, columns=GAIN_KEYS + GAIN_COLUMNS)


def gain_over_replicates(table: pd.DataFrame) -> pd.DataFrame:
    """Gains over data sets that learn from other frames: each stands for one draw of what was annotated.

    What a network gains varies with the annotated frames, the generative models that learned from them, and its own
    seed. The mean gain of a data set, over its seeds, holds one draw of the first two: the interval is that of the mean
    of these means, by Student's t over the data sets.

    Args:
        table: Rows of `gain.csv` of all of them.

    Returns:
        A row per reference, regime and regime it is compared with, of SEG of all objects: `reference`, `regime`,
        `over`, `gain`, `low`, `high`, `datasets` (their number).
    """
    rows = []
    overall = table[(table["objects"] == "all") & (table["measure"] == "seg")]
    for key, group in overall.groupby(["reference", "regime", "over"]):
        gain, low, high = _interval(group["gain"])
        rows.append((*key, gain, low, high, len(group)))
    return pd.DataFrame(rows, columns=["reference", "regime", "over", "gain", "low", "high", "datasets"])


def _gains(table: pd.DataFrame, what: Sequence[str], column: str) -> list[tuple]:
    wide = table.pivot(index=[*GAIN_KEYS, "seed"], columns="regime", values=column).reindex(columns=list(REGIMES))
    rows = []
    for key, group in wide.groupby(level=GAIN_KEYS):
        if group["none"].count() == 1:
            group = group.assign(none=group["none"].max())
        for regime, over in PAIRS:
            shared = group[[over, regime]].dropna()
            if len(shared):
                rows.append((*key, regime, over, *what, *_gain(shared[over], shared[regime])))
    return rows


def _gain(over: pd.Series, regime: pd.Series) -> tuple[float, ...]:
    return *_interval(regime - over), len(over), over.mean(), over.std(), regime.mean(), regime.std()


def _interval(values: pd.Series) -> tuple[float, float, float]:
    """Mean of values and the 95 % interval of this mean, by Student's t; NaN of a single one."""
    n, mean = len(values), values.mean()
    half = stdtrit(n - 1, 0.975) * values.std() / np.sqrt(n) if n > 1 else np.nan
    return mean, mean - half, mean + half
