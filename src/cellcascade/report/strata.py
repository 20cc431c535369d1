"""For which objects synthetic images help: the gain of the dim, small, elongated, touching and cut ones."""

from collections.abc import Iterator

import pandas as pd

from cellcascade.evaluation.gain import RECALLS
from cellcascade.report.words import interval, signed

WORDS = {
    "dim": "the dimmest fifth",
    "small": "the smallest fifth",
    "elongated": "the least round fifth",
    "touching": "those that touch others",
    "border": "those cut by the border",
}
PRECISIONS = {f"ap_{over}": f"average precision at an overlap of 0.{over}" for over in (50, 75, 90)}
PRECISIONS |= {f"precision_at_{recall}": f"precision where {recall} % are found" for recall in RECALLS}


def table(gain: pd.DataFrame) -> list[dict]:
    """Gains of regime Both by kind of object, over Real and over Copy and paste, a row for each kind.

    Args:
        gain: Rows of `gain.csv` of one reference.
    """
    both, rows = _at_one_recall(gain[gain["regime"] == "both"]), []
    kinds = [("all", "seg"), *((name, "seg") for name in WORDS), *(("all", name) for name in PRECISIONS)]
    for objects, measure in kinds:
        over = both[(both["objects"] == objects) & (both["measure"] == measure)].set_index("over")
        gains = [_gain(over.loc[name]) if name in over.index else ("–", "") for name in ("real", "copy_paste")]
        if len(over):
            rows.append({"objects": PRECISIONS.get(measure) or WORDS.get(objects, "all"), "gains": gains})
    return rows if len(rows) > 1 else []


def sentence(gain: pd.DataFrame) -> str:
    """For which objects SEG is shown to change, and how average precision does; empty where nothing is shown.

    Args:
        gain: Rows of `gain.csv` of one reference, regime Both over Real.
    """
    gain = _at_one_recall(gain)
    better, worse = list(_shown(gain, better=True)), list(_shown(gain, better=False))
    parts = [f"{word} for {', '.join(found)}" for word, found in (("better", better), ("worse", worse)) if found]
    by_kind = f"By kind of object, it is {'; '.join(parts)}." if parts else ""
    changed = gain[gain["measure"].isin(PRECISIONS) & ((gain["low"] > 0) | (gain["high"] < 0))]
    found = ", ".join(f"{PRECISIONS[row.measure]} {signed(row.gain)}" for row in changed.itertuples())
    counted = f"With what is found where nothing is, which SEG does not count: {found}." if found else ""
    return f"{by_kind} {counted}".strip()


def _at_one_recall(gain: pd.DataFrame) -> pd.DataFrame:
    """The rows without precisions at other recalls than the highest one that all pairs of networks reach."""
    at = gain["measure"].str.startswith("precision_at_")
    reached = gain[at].groupby("measure")["seeds"].min() >= gain["seeds"].max()
    highest = max(reached.index[reached], key=lambda name: int(name.rpartition("_")[2]), default=None)
    return gain[~at | (gain["measure"] == highest)]


def _shown(gain: pd.DataFrame, *, better: bool) -> Iterator[str]:
    """The kinds of objects whose interval lies above 0, or below it, the largest change first."""
    chosen = gain[gain["objects"].isin(WORDS) & ((gain["low"] > 0) if better else (gain["high"] < 0))]
    for row in chosen.sort_values("gain", ascending=not better).itertuples():
        yield f"{WORDS[row.objects]} ({signed(row.gain)})"


def _gain(row: pd.Series) -> tuple[str, str]:
    return signed(row["gain"]), interval(row["low"], row["high"])
