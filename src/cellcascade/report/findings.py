"""What the evaluation found, for the page of one data set: verdict, tables and charts, in plain words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellcascade.report import charts, figures
from cellcascade.report.sections import Picture
from cellcascade.report.sources import read_table

REGIMES = {
    "none": "generalist weights as they are, no training",
    "real": "trained on the annotated real frames",
    "synthetic": "trained on synthetic images alone",
    "both": "trained on real and synthetic images together",
}
DISTANCES = ("property", "real_mean", "real_std", "synthetic_mean", "synthetic_std", "w1_over_std")
COLUMNS = {
    "seg": (
        *("dataset", "regime", "train_frames", "train_slices", "seed", "reference"),
        *("seg", "n_objects", "precision", "recall", "f1"),
    ),
    "gain": ("dataset", "reference", "train_frames", "regime", "gain", "low", "high", "seeds"),
    "fid": ("features", "metric", "pair", "value", "low", "high", "n", "warning"),
    "shape": DISTANCES,
    "texture": DISTANCES,
    "population": DISTANCES,
    "memorisation": (
        "what",
        "n_synthetic",
        "n_real_test",
        "n_train",
        "share_synthetic",
        "share_real",
        "excess",
        "nearest_synthetic_median",
        "nearest_real_median",
    ),
}
EXCESS = 0.05  # share of samples beyond the real baseline from which copying must be suspected
NO_GAIN = "No gain measured"
FEWEST = 20  # real test cells below which a share of 5 % is less than one cell


@dataclass(frozen=True)
class Verdict:
    """The first line of a page: a number, the sentence beside it, and whether it is `good`, `bad` or `open`."""

    number: str
    text: str
    kind: str


def read_evaluation(paths: Mapping[str, str | Path | None]) -> dict[str, pd.DataFrame]:
    """Read the tables of an evaluation; those that were not asked for or hold no row are left out.

    Args:
        paths: CSV files by the names of `COLUMNS`; `None` for what was not measured.

    Raises:
        InputError: A file is missing or lacks a column.
    """
    tables = {name: read_table(path, COLUMNS[name]) for name, path in paths.items() if path is not None}
    return {name: table for name, table in tables.items() if len(table)}


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, typeset; no sign where it rounds to 0."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def plain(value: float, form: str = ".4g") -> str:
    """A number as text; a dash where there is none."""
    return format(value, form).replace("-", "−") if np.isfinite(value) else "–"


def interval(low: float, high: float) -> str:
    """A 95 % interval of a difference; empty where a single training gives none."""
    return f"[{signed(low)}, {signed(high)}]" if np.isfinite([low, high]).all() else ""


def mean_and_spread(values: pd.Series, form: str = ".3f") -> str:
    """Mean ± sample standard deviation; the mean alone of a single value."""
    spread = f" ± {format(values.std(), form)}" if len(values) > 1 else ""
    return f"{format(values.mean(), form)}{spread}" if len(values) else "–"


def annotated(seg: pd.DataFrame) -> pd.Series:
    """How much was annotated, by row of `seg.csv`: slices of stacks, frames in 2D."""
    return seg["train_slices"].fillna(seg["train_frames"]).astype(int)


def annotated_unit(seg: pd.DataFrame) -> str:
    """What `annotated` counts."""
    return "slices" if seg["train_slices"].notna().any() else "frames"


def annotated_text(seg: pd.DataFrame) -> str:
    """How much was annotated for one data set, e.g. `48 annotated frames`."""
    count, unit = annotated(seg).max(), annotated_unit(seg)
    return f"{count} annotated {unit if count > 1 else unit[:-1]}"


def main_reference(seg: pd.DataFrame) -> str:
    """The truth that annotates most objects, which says most."""
    return seg.groupby("reference")["n_objects"].max().idxmax()


def regimes_in(table: pd.DataFrame) -> list[str]:
    """The regimes of a table, from least to most training material."""
    return [name for name in REGIMES if name in set(table["regime"])]


def verdict(tables: Mapping[str, pd.DataFrame]) -> Verdict:
    """Say what synthetic images did to the segmentation of one data set."""
    if "seg" not in tables:
        return Verdict(
            "Not measured",
            "Whether the synthetic images help a segmentation was not measured here. To measure it, list the regimes "
            "under evaluation.regimes in the configuration, for example [real, synthetic, both], and run again.",
            "open",
        )
    reference = main_reference(tables["seg"])
    rows = tables["gain"].query("regime == 'both' and reference == @reference") if "gain" in tables else []
    if not len(rows):
        return Verdict(
            NO_GAIN,
            "The gain is the SEG of Both less that of Real: it needs both regimes and a seed that they share. "
            "List real and both under evaluation.regimes in the configuration.",
            "open",
        )
    row = rows.iloc[-1]
    seeds = "1 seed" if row.seeds == 1 else f"{int(row.seeds)} seeds"
    facts = f"{seeds}, {reference} truth, models from {annotated_text(tables['seg'])}."
    kind, words = judge(row.gain, row.low, row.high)
    limits = f"95 % interval {interval(row.low, row.high)}, " if interval(row.low, row.high) else ""
    return Verdict(signed(row.gain), f"SEG of Both over Real: {words}. {_first_upper(limits + facts)}", kind)


def judge(gain: float, low: float, high: float) -> tuple[str, str]:
    """Word a difference by its interval: `good`, `bad` or `open`, and the words."""
    if not np.isfinite([low, high]).all():
        return "open", "a single seed has no interval, so this shows neither a gain nor a loss; train with more seeds"
    if low > 0:
        return "good", "adding synthetic images to the real ones improved the segmentation"
    if high < 0:
        return "bad", "adding synthetic images to the real ones made the segmentation worse"
    return "open", "no gain could be shown: the interval contains 0"


def _first_upper(text: str) -> str:
    return text[0].upper() + text[1:]


def segmentation(tables: Mapping[str, pd.DataFrame]) -> dict | None:
    """Tables by reference, strip plot and F1 curves; `None` where nothing was trained."""
    if "seg" not in tables:
        return None
    seg, gain = tables["seg"], tables.get("gain", pd.DataFrame(columns=COLUMNS["gain"]))
    references = sorted(seg["reference"].unique(), key=lambda name: name != main_reference(seg))
    strip = figures.figure_uri(charts.strips(seg, references))
    note = (
        "Left: SEG of each training, one point a seed; lines join trainings with the same seed, bars are means. "
        "Right: F1 against the overlap (IoU) from which an object counts as found, mean over seeds."
    )
    return {
        "tables": [_seg_table(seg[seg["reference"] == name], gain[gain["reference"] == name]) for name in references],
        "strip": Picture(strip, "SEG by regime and seed; F1 by overlap", note, 1112),
        "regimes": [(name.capitalize(), REGIMES[name]) for name in regimes_in(seg)],
        "facts": _training_facts(seg),
    }


def _seg_table(seg: pd.DataFrame, gain: pd.DataFrame) -> dict:
    rows = []
    for name in regimes_in(seg):
        chosen, over = seg[seg["regime"] == name], gain[gain["regime"] == name]
        worse = {key: chosen[key] for key in ("precision", "recall", "f1")}
        rows.append(
            {
                "regime": name.capitalize(),
                "seg": mean_and_spread(chosen["seg"]),
                "gain": signed(over["gain"].iloc[-1]) if len(over) else "–",
                "interval": interval(*over[["low", "high"]].iloc[-1]) if len(over) else "",
                "scores": [plain(values.mean(), ".3f") for values in worse.values()],
                "strict": [plain(chosen[key].mean(), ".3f") if key in chosen else "–" for key in ("f1_70", "f1_90")],
                "seeds": chosen["seed"].nunique(),
            }
        )
    frames = f" in {int(seg['frames'].max())} test frames" if "frames" in seg and seg["frames"].notna().any() else ""
    title = f"{seg['reference'].iloc[0].capitalize()} truth"
    return {"title": title, "note": f"{int(seg['n_objects'].max()):,} objects{frames}", "rows": rows}


def _training_facts(seg: pd.DataFrame) -> str:
    """How the networks were trained, as one sentence."""
    trained = seg[seg["regime"] != "none"]
    if trained.empty:
        return ""

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
        parts.append(f"real share of the images in Both {100 * both['real_share'].mean():.0f} %")
    return f"Training: {', '.join(parts)}." if parts else ""


def features(fid: pd.DataFrame | None) -> dict | None:
    """FID and KID as rows (features, metric), with the warnings that go with them."""
    if fid is None:
        return None
    rows = []
    for (name, metric), group in fid.groupby(["features", "metric"], sort=False):
        pairs = {pair: group[group["pair"] == pair] for pair in ("real-real", "real-synthetic")}
        cells = {pair: [_value(row) for row in rows_.itertuples()][:1] for pair, rows_ in pairs.items()}
        rows.append(
            {
                "features": name,
                "metric": metric,
                "real": (cells["real-real"] or [("–", "")])[0],
                "synthetic": (cells["real-synthetic"] or [("–", "")])[0],
                "n": " / ".join(dict.fromkeys(f"{int(number):,}" for number in group["n"])),
            }
        )
    return {"rows": rows, "warnings": list(dict.fromkeys(str(text) for text in fid["warning"].dropna() if str(text)))}


def _value(row) -> tuple[str, str]:
    limits = f"[{plain(row.low, '.2g')}, {plain(row.high, '.2g')}]" if np.isfinite([row.low, row.high]).all() else ""
    return plain(row.value, ".3g"), limits


def distances(tables: Mapping[str, pd.DataFrame]) -> dict[str, list[dict]]:
    """Rows of the tables of shape, texture and population, as text."""
    return {
        name: [
            {
                "property": readable(row.property),
                "real": _spread(row.real_mean, row.real_std),
                "synthetic": _spread(row.synthetic_mean, row.synthetic_std),
                "distance": plain(row.w1_over_std, ".3f"),
            }
            for row in tables[name].itertuples()
        ]
        for name in ("shape", "texture", "population")
        if name in tables
    }


def _spread(mean: float, std: float) -> str:
    return plain(mean) + (f" ± {plain(std, '.3g')}" if np.isfinite(std) else "")


def readable(name: str) -> str:
    """The name of a property as text."""
    units = {"area": " (pixels)", "major_axis_length": " (pixels)", "power_spectrum_db": " (largest deviation)"}
    text = name.removesuffix("_dim").replace("_", " ") + units.get(name, "") + ", dim cells" * name.endswith("_dim")
    text = re.sub(r"slice correlation (\d)", r"slice correlation, \1 apart", text)
    for plain_word, word in (
        (" um", " (µm)"),
        (" db", ", dB"),
        ("ring mean", "mean of the ring outside"),
        ("otsu iou", "IoU with Otsu's threshold"),
        ("std", "std."),
    ):
        text = text.replace(plain_word, word)
    return text


def distance_chart(tables: Mapping[str, pd.DataFrame]) -> Picture | None:
    """All distances of shape, texture and population in one picture, in units of the real spread."""
    rows = [
        (name, readable(row.property), row.w1_over_std)
        for name in ("shape", "texture", "population")
        for row in tables.get(name, pd.DataFrame(columns=DISTANCES)).itertuples()
        if np.isfinite(row.w1_over_std)
    ]
    if not rows:
        return None
    note = (
        "Distance of the synthetic values from the real ones, W₁/σ: 0 is equal, 1 means that values had to be moved "
        "by one real standard deviation on average."
    )
    return Picture(figures.figure_uri(charts.lollipops(rows)), "distances by property", note, 860)


def memorisation(table: pd.DataFrame | None) -> list[dict] | None:
    """Rows and a sentence for each kind of sample: does the model copy what it was trained on?"""
    if table is None:
        return None
    rows = []
    for row in table.itertuples():
        what = {"mask": "masks", "image": "cell images"}.get(row.what, row.what)
        shares = [f"{100 * value:.1f} %" for value in (row.share_synthetic, row.share_real)]
        if row.n_real_test < FEWEST or not np.isfinite(row.excess):
            kind, found = "open", f"cannot be judged: only {int(row.n_real_test)} real test cells"
        else:
            kind, found = ("bad", "copies are likely") if row.excess > EXCESS else ("good", "no sign of copying")
        words = (
            f"{what.capitalize()}: {found}. {shares[0]} of the synthetic ones lie closer to a training cell than the "
            f"closest 5 % of real test cells do; of the real test cells {shares[1]}"
        )
        medians = [plain(value, ".3f") for value in (row.nearest_synthetic_median, row.nearest_real_median)]
        counts = [f"{int(value):,}" for value in (row.n_synthetic, row.n_real_test, row.n_train)]
        rows.append(
            {
                "what": what,
                "kind": kind,
                "found": found,
                "words": words,
                "shares": shares,
                "medians": medians,
                "counts": counts,
            }
        )
        rows[-1]["excess"] = signed(100 * row.excess, 1)
    return rows
