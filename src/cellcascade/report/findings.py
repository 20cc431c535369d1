"""What the evaluation found, for the pages: verdict, tables and charts, in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from cellcascade.report import charts, strata
from cellcascade.report.pictures import Picture
from cellcascade.report.sources import read_table
from cellcascade.report.words import counted, interval, mean_and_spread, named, plain, readable, signed, with_spread

Tables = Mapping[str, pd.DataFrame]
MEANINGS = {
    "none": "generalist weights as they are, no training",
    "real": "trained on the annotated real frames",
    "copy_paste": "trained on real images and on real cells pasted into images like the synthetic ones",
    "synthetic": "trained on synthetic images alone",
    "both": "trained on real and synthetic images together",
}
DISTANCES = ("property", "real_mean", "real_std", "synthetic_mean", "synthetic_std", "w1_over_std")
KINDS = ("shape", "texture", "population")  # the tables of distances
COLUMNS = {
    "seg": (
        *("dataset", "regime", "train_frames", "train_cells", "seed", "reference"),
        *("seg", "n_objects", "precision", "recall", "f1"),
    ),
    "gain": (
        *("dataset", "reference", "train_frames", "regime", "over"),
        *("objects", "measure", "gain", "low", "high", "seeds"),
    ),
    "fid": ("features", "metric", "pair", "value", "low", "high", "n", "warning"),
    **dict.fromkeys(KINDS, DISTANCES),
    "memorisation": (
        *("what", "n_synthetic", "n_real_test", "n_train", "share_synthetic", "share_real", "excess"),
        *("nearest_synthetic_median", "nearest_real_median", "nearest_ratio"),
    ),
}
WHY = {
    "good": "The interval lies above 0: they help.",
    "bad": "The interval lies below 0: they do harm, so train without them.",
    "open": "The interval contains 0: neither a gain nor a loss is shown; more seeds or test frames would tell more.",
    "single": "A single seed has no interval, so this shows neither a gain nor a loss; train with more seeds.",
}
EXCESS = 0.05  # share of samples beyond the real baseline from which copying must be suspected
NO_GAIN = "No gain measured"


class _Distance(Protocol):
    """A row of the table of FID and KID: a distance with its limits."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """The first line of a page: a number, the sentence beside it, and whether it is `good`, `bad` or `open`."""

    number: str
    text: str
    kind: str


@dataclass(frozen=True)
class Segmentation:
    """What was trained to segment.

    Attributes:
        tables: A table per reference: `title`, `note` and `rows`, one per regime.
        strip: SEG of every training, and F1 by overlap.
        regimes: Names of the regimes and what they mean.
        facts: How the networks were trained, as one sentence.
        objects: Gains by kind of object, of the reference that annotates most.
    """

    tables: list[dict]
    strip: Picture
    regimes: list[tuple[str, str]]
    facts: str
    objects: list[dict]


@dataclass(frozen=True)
class Features:
    """FID and KID: a row per kind of features and metric, and the warnings that go with them."""

    rows: list[dict]
    warnings: list[str]


@dataclass(frozen=True)
class EvaluationPart:
    """What the page of a data set says of its evaluation; what is `None` or empty was not measured.

    Attributes:
        verdict: Whether synthetic images help a segmentation.
        segmentation: The scores of the trained networks.
        features: FID and KID.
        distance_chart: All distances in one picture.
        distances: Rows of the tables of shape, texture and population.
        memorisation: Whether training cells are copied, a row per kind of sample.
    """

    verdict: Verdict
    segmentation: Segmentation | None
    features: Features | None
    distance_chart: Picture | None
    distances: dict[str, list[dict]]
    memorisation: list[dict]


def evaluation_part(tables: Tables) -> EvaluationPart:
    """Say what the evaluation of a data set found."""
    return EvaluationPart(
        verdict=verdict(tables),
        segmentation=segmentation(tables),
        features=features(tables.get("fid")),
        distance_chart=distance_chart(tables),
        distances=distances(tables),
        memorisation=memorisation(tables.get("memorisation")),
    )


def read_evaluation(paths: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Read the tables of an evaluation that the pages know; those that hold no row are left out.

    Args:
        paths: CSV files by their names; the pages know those of `COLUMNS`.

    Raises:
        InputError: A file is missing or lacks a column.
    """
    tables = {name: read_table(path, COLUMNS[name]) for name, path in paths.items() if name in COLUMNS}
    return {name: table for name, table in tables.items() if len(table)}


def main_reference(seg: pd.DataFrame) -> str:
    """The reference that annotates most objects, which says most."""
    return seg.groupby("reference")["n_objects"].max().idxmax()


def regimes_in(table: pd.DataFrame) -> list[str]:
    """The regimes of a table, from least to most training material."""
    return [name for name in MEANINGS if name in set(table["regime"])]


def gains_over(baseline: str, tables: Tables) -> pd.DataFrame:
    """The rows of `gain.csv` of SEG of all objects that compare with a regime; none where gains were not measured."""
    table = tables.get("gain", pd.DataFrame(columns=COLUMNS["gain"]))
    return table[(table["over"] == baseline) & (table["objects"] == "all") & (table["measure"] == "seg")]


def verdict(tables: Tables) -> Verdict:
    """Say what synthetic images did to the segmentation of one data set, against real images and against pasting."""
    if "seg" not in tables:
        return Verdict(
            "Not measured",
            "Whether the synthetic images help a segmentation network was not measured here. To measure it, list "
            "regimes under evaluation.regimes in the configuration, for example [real, copy_paste, both], and rerun.",
            "open",
        )
    seg, reference = tables["seg"], main_reference(tables["seg"])
    over = {name: gains_over(name, tables) for name in ("real", "copy_paste")}
    rows, pasted = (gain[(gain["regime"] == "both") & (gain["reference"] == reference)] for gain in over.values())
    if not len(rows):
        return Verdict(
            NO_GAIN,
            "The gain is the SEG of Both minus that of Real: it needs both regimes and a seed that they share. "
            "List real and both under evaluation.regimes in the configuration.",
            "open",
        )
    row = rows.iloc[-1]
    kind, word = judge(row.low, row.high)
    learned = counted(int(seg["train_cells"].max()), "annotated cell")
    facts = f"{counted(int(row.seeds), 'seed')}, {reference} truth, models trained on {learned}"
    against = _against_pasting(pasted.iloc[-1]) if len(pasted) else "Copying and pasting the real cells was not tried."
    sentences = (
        f"With synthetic images beside the real ones, SEG changes by {_with_limits(row)} ({facts}).",
        WHY[kind] if np.isfinite(row.low) else WHY["single"],
        strata.sentence(_of_kinds(tables["gain"], reference)),
        against,
    )
    return Verdict(word, " ".join(filter(None, sentences)), kind)


def _of_kinds(gain: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The rows of `gain.csv` of one reference, regime Both over Real."""
    return gain[(gain["reference"] == reference) & (gain["regime"] == "both") & (gain["over"] == "real")]


def _with_limits(row: pd.Series) -> str:
    limits = interval(row.low, row.high)
    return signed(row.gain) + (f", 95 % interval {limits}" if limits else "")


def _against_pasting(row: pd.Series) -> str:
    """Whether the generated cells are worth more than copies of the real ones, as a sentence."""
    means = {"good": "better than", "bad": "worse than", "open": "not shown to differ from"}
    kind, _ = judge(row.low, row.high)
    return f"This is {means[kind]} pasting copies of the real cells into such images: {_with_limits(row)}."


def judge(low: float, high: float) -> tuple[str, str]:
    """Word a difference by its interval: `good`, `bad` or `open`, and the words; a single seed leaves it open."""
    if low > 0:
        return "good", "Helps"
    return ("bad", "Does not help: worse") if high < 0 else ("open", "Cannot tell")


def segmentation(tables: Tables) -> Segmentation | None:
    """Tables by reference, strip plot and F1 curves; `None` where nothing was trained."""
    if "seg" not in tables:
        return None
    seg, gain = tables["seg"], gains_over("real", tables)
    measured = tables.get("gain", pd.DataFrame(columns=COLUMNS["gain"]))
    references = sorted(seg["reference"].unique(), key=lambda name: name != main_reference(seg))
    strip = charts.figure_uri(charts.strips(seg, references))
    note = (
        "Left: SEG of each training, one point per seed; lines join trainings with the same seed, bars are means. "
        "Right: F1 against the overlap (IoU) from which an object counts as found, mean over seeds."
    )
    return Segmentation(
        tables=[_seg_table(seg[seg["reference"] == name], gain[gain["reference"] == name]) for name in references],
        objects=strata.table(measured[measured["reference"] == references[0]]),
        strip=Picture(strip, "SEG by regime and seed; F1 by overlap", note, 1112),
        regimes=[(named(name), MEANINGS[name]) for name in regimes_in(seg)],
        facts=_training_facts(seg[seg["regime"] != "none"]),
    )


def _seg_table(seg: pd.DataFrame, gain: pd.DataFrame) -> dict:
    rows = []
    for name in regimes_in(seg):
        chosen, over = seg[seg["regime"] == name], gain[gain["regime"] == name]
        rows.append(
            {
                "regime": named(name),
                "seg": mean_and_spread(chosen["seg"]),
                "gain": signed(over["gain"].iloc[-1]) if len(over) else "–",
                "interval": interval(*over[["low", "high"]].iloc[-1]) if len(over) else "",
                "scores": [plain(chosen[key].mean(), ".3f") for key in ("precision", "recall", "f1")],
                "strict": [plain(chosen[key].mean(), ".3f") if key in chosen else "–" for key in ("f1_70", "f1_90")],
                "seeds": chosen["seed"].nunique(),
            }
        )
    note = f"{int(seg['n_objects'].max()):,} objects"
    if "frames" in seg and seg["frames"].notna().any():
        note += f" in {counted(int(seg['frames'].max()), 'test frame')}"
    return {"title": f"{seg['reference'].iloc[0].capitalize()} truth", "note": note, "rows": rows}


def _training_facts(trained: pd.DataFrame) -> str:
    """How the networks of some rows of `seg.csv` were trained, as one sentence."""

    def several(name: str, form: str) -> str:
        values = sorted(trained[name].dropna().unique()) if name in trained else []
        return " or ".join(format(value, form) for value in values)

    parts = []
    if steps := several("steps", ",.0f"):
        parts.append(f"{steps} gradient steps in every regime")
    if start := several("start", ""):
        parts.append("from scratch" if start == "scratch" else f"starting from {start}")
    if diameter := several("diameter", ".3g"):
        parts.append(f"cell diameter {diameter} pixels")
    both = trained[trained["regime"] == "both"]
    if "real_share" in both and both["real_share"].notna().any():
        parts.append(f"{100 * both['real_share'].mean():.0f} % of the images in Both are real")
    return f"Training: {', '.join(parts)}." if parts else ""


def features(fid: pd.DataFrame | None) -> Features | None:
    """FID and KID between real cells, and between real and synthetic ones."""
    if fid is None:
        return None
    rows = []
    for (name, metric), group in fid.groupby(["features", "metric"], sort=False):
        found = {row.pair: _value(row) for row in reversed(list(group.itertuples()))}
        numbers = " / ".join(dict.fromkeys(f"{int(number):,}" for number in group["n"]))
        row = {"features": name, "metric": metric, "n": numbers}
        row |= {"real": found.get("real-real", ("–", "")), "synthetic": found.get("real-synthetic", ("–", ""))}
        rows.append(row)
    return Features(rows, list(dict.fromkeys(str(text) for text in fid["warning"].dropna() if str(text))))


def _value(row: _Distance) -> tuple[str, str]:
    limits = f"[{plain(row.low, '.2g')}, {plain(row.high, '.2g')}]" if np.isfinite([row.low, row.high]).all() else ""
    return plain(row.value, ".3g"), limits


def distances(tables: Tables) -> dict[str, list[dict]]:
    """Rows of the tables of shape, texture and population, as text."""
    return {
        name: [
            {
                "property": readable(row.property),
                "real": with_spread(row.real_mean, row.real_std),
                "synthetic": with_spread(row.synthetic_mean, row.synthetic_std),
                "distance": plain(row.w1_over_std, ".3f"),
            }
            for row in tables[name].itertuples()
        ]
        for name in KINDS
        if name in tables
    }


def measured_distances(tables: Tables) -> dict[tuple[str, str], float]:
    """Distances in real standard deviations by their table and property, those that are numbers."""
    return {
        (name, row.property): row.w1_over_std
        for name in KINDS
        if name in tables
        for row in tables[name].itertuples()
        if np.isfinite(row.w1_over_std)
    }


def distance_chart(tables: Tables) -> Picture | None:
    """All distances of shape, texture and population in one picture, in units of the real spread."""
    rows = [(kind, readable(name), value) for (kind, name), value in measured_distances(tables).items()]
    if not rows:
        return None
    note = (
        "Distance of the synthetic values from the real ones, W₁/σ: 0 means equal; 1 means that values had to be moved "
        "by one real standard deviation on average."
    )
    return Picture(charts.figure_uri(charts.lollipops(rows)), "distances by property", note, 860)


def memorisation(table: pd.DataFrame | None) -> list[dict]:
    """Does the model copy what it was trained on? Numbers and a sentence for each kind of sample."""
    rows = []
    for row in table.itertuples() if table is not None else ():
        what = {"mask": "masks", "image": "cell images"}.get(row.what, row.what)
        shares = [f"{100 * value:.1f} %" for value in (row.share_synthetic, row.share_real)]
        kind, found = _copies(row.excess, int(row.n_real_test))
        ratio = plain(row.nearest_ratio, ".2f")
        words = (
            f"{what.capitalize()}: {found}. {shares[0]} of the synthetic ones lie closer to a training cell than the "
            f"closest 5 % of the real test cells do; of the real test cells, {shares[1]} do. The median distance to "
            f"the nearest training cell is {ratio} times that of real test cells"
        )
        rows.append(
            {
                "what": what,
                "kind": kind,
                "found": found,
                "words": words,
                "shares": shares,
                "medians": [plain(value, ".3f") for value in (row.nearest_synthetic_median, row.nearest_real_median)],
                "counts": [f"{int(value):,}" for value in (row.n_synthetic, row.n_real_test, row.n_train)],
                "excess": signed(100 * row.excess, 1),
                "ratio": ratio,
            }
        )
    return rows


def _copies(excess: float, n_real_test: int) -> tuple[str, str]:
    """Word the excess of near samples over real cells: `good`, `bad` or `open`, and the words."""
    if not np.isfinite(excess):
        return "open", f"cannot be judged: only {n_real_test} real test cells"
    return ("bad", "copies are likely") if excess > EXCESS else ("good", "no sign of copying")
