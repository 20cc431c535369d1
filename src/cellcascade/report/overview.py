"""The page across data sets: gains, SEG and FID tables, learning curves, ablations, distances."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from cellcascade.core.files import write_table
from cellcascade.evaluation.gain import gain_over_replicates, paired_gain
from cellcascade.report import charts, findings
from cellcascade.report.pages import write_page
from cellcascade.report.pictures import Picture
from cellcascade.report.words import counted, interval, mean_and_spread, named, plain, readable, signed

Tables = Mapping[str, findings.Tables]
GAP = 3.0  # real standard deviations at which a distance has its full tint
UNKNOWN = "–"


class _Gain(Protocol):
    """A row of `paired_gain`: a difference of SEG with its interval."""

    gain: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        title: What its data sets have in common.
        chart: The curve.
        rows: Its points by reference and number of annotated cells.
        missing: Data sets that were not measured.
    """

    title: str
    chart: Picture
    rows: list[dict]
    missing: list[str]


@dataclass(frozen=True)
class OverviewPage:
    """Content of the page across data sets; what is `None` or empty was not measured or not asked for.

    Attributes:
        title: Heading of the page.
        verdict: In how many data sets synthetic images helped.
        gains: Gains with their intervals in one chart.
        seg: SEG by data set and reference.
        fid: FID and KID by data set and kind of features.
        curves: Learning curves.
        replicates: Gains over data sets that learn from other frames.
        ablations: Variants against the data sets that they differ from.
        distances: Distances of shape, texture and population by property.
        memorisation: Whether training cells are copied, by data set and kind of sample.
    """

    title: str
    verdict: findings.Verdict
    gains: Picture | None
    seg: list[dict]
    fid: findings.Features | None
    curves: list[Curve]
    replicates: list[dict]
    ablations: dict | None
    distances: dict | None
    memorisation: list[dict]


def write_overview(
    *,
    title: str,
    datasets: dict[str, dict[str, Path]],
    curves: list[list[str]],
    replicates: list[list[str]],
    ablations: list[tuple[str, str]],
    html: Path,
    table: Path,
) -> None:
    """Stage `overview`: the page across data sets, and all their SEG scores as one table.

    Args:
        title: Heading of the page.
        datasets: By data set, its CSV files by the names of `findings.COLUMNS`; what was not measured is not named.
        curves: Data sets that differ in their number of annotated training frames alone; each list is one curve.
        replicates: Data sets that learn from as much each, but from other frames; each list is one group.
        ablations: Pairs of a data set and a variant of it.
        html: The page to write; it loads nothing from elsewhere.
        table: CSV to write: the rows of `seg.csv` of all data sets.

    Raises:
        InputError: A file is missing or lacks a column.
    """
    tables = {name: findings.read_evaluation(paths) for name, paths in datasets.items()}
    page = OverviewPage(
        title=title,
        verdict=verdict(tables),
        gains=gains(tables),
        seg=seg_rows(tables),
        fid=features(tables),
        curves=[curve for names in curves if (curve := learning_curve(names, tables))],
        replicates=[row for names in replicates for row in replicate_rows(names, tables)],
        ablations=ablation_section(ablations, tables),
        distances=distance_rows(tables),
        memorisation=memorisation(tables),
    )
    write_page("overview.html.j2", page, html)
    segs = [found["seg"] for found in tables.values() if "seg" in found]
    write_table(table, pd.concat(segs) if segs else pd.DataFrame(columns=findings.COLUMNS["seg"]))


def verdict(tables: Tables) -> findings.Verdict:
    """Say in how many data sets synthetic images helped."""
    found = {name: findings.verdict(entry) for name, entry in tables.items() if "gain" in entry and "seg" in entry}
    kinds = [item.kind for item in found.values() if item.number != findings.NO_GAIN]
    if not kinds:
        return findings.Verdict(
            "Not measured",
            "No data set here was segmented both with and without synthetic images. To measure it, list the regimes "
            "under evaluation.regimes in the configuration, for example [real, copy_paste, both], and run again.",
            "open",
        )
    good, bad = kinds.count("good"), kinds.count("bad")
    text = (
        f"{'data set' if len(kinds) == 1 else 'data sets'} in which adding synthetic images to the real ones improved "
        f"the segmentation (95 % interval of the gain in SEG above 0). No difference could be shown in "
        f"{len(kinds) - good - bad}; it became worse in {bad}."
    )
    return findings.Verdict(
        f"{good} of {len(kinds)}", text, "good" if good and not bad else "bad" if bad and not good else "open"
    )


def gains(tables: Tables) -> Picture | None:
    """Gains over Real with their intervals, a line for each data set, truth and regime."""
    rows = []
    for name, found in tables.items():
        if "gain" not in found:
            continue
        over_real = findings.gains_over("real", found)
        chosen = over_real[over_real["regime"].isin(["both", "copy_paste", "synthetic"])]
        references = sorted(chosen["reference"].unique(), reverse=True)
        for row in sorted(chosen.itertuples(), key=lambda row: (references.index(row.reference), row.regime)):
            rows.append(_forest_row(f"{name}, {row.reference}", row.regime, row))
    if not rows:
        return None
    note = (
        "SEG with synthetic images minus SEG with real images alone: mean over trainings paired by their seed, and its "
        "95 % interval. Right of 0, synthetic images helped. A single training has no interval."
    )
    return Picture(charts.figure_uri(charts.forest(rows)), "gains by data set", note, 1112)


def _forest_row(name: str, regime: str, row: _Gain) -> dict:
    parts = signed(row.gain), interval(row.low, row.high), counted(int(row.seeds), "seed")
    text = "  ".join(part for part in parts if part)
    return {"name": name, "regime": regime, "gain": row.gain, "low": row.low, "high": row.high, "text": text}


def seg_rows(tables: Tables) -> list[dict]:
    """SEG by data set and reference, with a value for each regime."""
    rows = []
    for name, found in tables.items():
        if "seg" not in found:
            continue
        seg = found["seg"]
        for reference in sorted(seg["reference"].unique(), reverse=True):
            chosen = seg[seg["reference"] == reference]
            by_regime = {regime: chosen[chosen["regime"] == regime] for regime in findings.MEANINGS}
            means = {regime: part["seg"].mean() for regime, part in by_regime.items() if len(part)}
            starts = chosen.loc[chosen["regime"] != "none", "start"].dropna() if "start" in chosen else []
            rows.append(
                {
                    "dataset": name,
                    "reference": reference,
                    "annotated": counted(int(chosen["train_cells"].max()), "cell"),
                    "objects": int(chosen["n_objects"].max()),
                    "seeds": int(chosen.groupby("regime")["seed"].nunique().max()),
                    "start": ", ".join(dict.fromkeys(starts)) or UNKNOWN,
                    "values": [mean_and_spread(part["seg"]) for part in by_regime.values()],
                    "best": [regime == max(means, key=means.__getitem__) for regime in by_regime],
                }
            )
    return rows


def features(tables: Tables) -> findings.Features | None:
    """FID and KID, a row for each data set and kind of features."""
    rows: dict[tuple[str, str], dict] = {}
    warnings: list[str] = []
    for name, found in tables.items():
        part = findings.features(found.get("fid")) or findings.Features([], [])
        for item in part.rows:
            row = rows.setdefault((name, item["features"]), {"dataset": name, "features": item["features"]})
            row |= {item["metric"]: [item["real"], item["synthetic"]], "n": item["n"]}
        warnings += part.warnings
    empty = [(UNKNOWN, "")] * 2
    filled = [{"FID": empty, "KID": empty, **row} for row in rows.values()]
    return findings.Features(filled, list(dict.fromkeys(warnings))) if filled else None


def memorisation(tables: Tables) -> list[dict]:
    """Whether training cells are copied, a row for each data set and kind of sample."""
    found = {name: findings.memorisation(entry.get("memorisation")) for name, entry in tables.items()}
    return [{"dataset": name, **row} for name, rows in found.items() for row in rows]


def learning_curve(names: Sequence[str], tables: Tables) -> Curve | None:
    """One learning curve: chart and table; `None` where none of its data sets was measured."""
    measured = {name: tables[name] for name in names if "seg" in tables.get(name, {})}
    if not measured:
        return None
    seg = pd.concat(found["seg"] for found in measured.values())
    references = sorted(seg["reference"].unique(), reverse=True)
    chart = charts.figure_uri(charts.learning_curves(seg, references))
    note = "Points: single trainings; lines: their means; bands: ± one standard deviation over seeds."
    return Curve(
        title=os.path.commonprefix(list(names)).rstrip("_-") or names[-1],
        chart=Picture(chart, "learning curve", note, min(556 * len(references), 1112)),
        rows=_curve_rows(seg, references, [findings.gains_over("real", found) for found in measured.values()]),
        missing=[name for name in names if name not in measured],
    )


def _curve_rows(seg: pd.DataFrame, references: Sequence[str], gains: Sequence[pd.DataFrame]) -> list[dict]:
    """SEG of Real, Copy and paste, and Both, and the gain, by reference and number of annotated cells."""
    known = {(row.dataset, row.reference): row for gain in gains for row in gain[gain["regime"] == "both"].itertuples()}
    rows = []
    for reference in references:
        for (cells, name), part in seg[seg["reference"] == reference].groupby(["train_cells", "dataset"]):
            gain = known.get((name, reference))
            by_regime = [part.loc[part["regime"] == regime, "seg"] for regime in charts.CURVES]
            rows.append(
                {
                    "reference": reference,
                    "annotated": int(cells),
                    "values": [mean_and_spread(values) for values in by_regime],
                    "gain": signed(gain.gain) if gain else UNKNOWN,
                    "interval": interval(gain.low, gain.high) if gain else "",
                    "seeds": int(gain.seeds) if gain else UNKNOWN,
                }
            )
    return rows


def replicate_rows(names: Sequence[str], tables: Tables) -> list[dict]:
    """Gains of regimes over data sets that learn from other frames, with the spread over these."""
    measured = [name for name in names if "gain" in tables.get(name, {})]
    if not measured:
        return []
    gains = gain_over_replicates(pd.concat(tables[name]["gain"] for name in measured))
    return [
        {
            "names": ", ".join(measured),
            "reference": row.reference,
            "pair": f"{named(row.regime)} over {named(row.over)}",
            "gain": signed(row.gain),
            "interval": interval(row.low, row.high),
            "datasets": int(row.datasets),
        }
        for row in gains[gains["regime"].isin(["copy_paste", "both"])].itertuples()
    ]


def ablation_section(pairs: Sequence[tuple[str, str]], tables: Tables) -> dict | None:
    """Variants against the data sets they differ from; `None` where nothing was asked for."""
    if not pairs:
        return None
    rows, lines = [], []
    for parent, variant in pairs:
        before, after = tables.get(parent, {}), tables.get(variant, {})
        differences = ablation(before.get("seg"), after.get("seg"))
        lines += [_forest_row(f"{variant}, {row.reference}", row.regime, row) for row in differences.itertuples()]
        rows.append({"parent": parent, "variant": variant, **_ablation_row(differences, before, after)})
    note = (
        "SEG of the variant minus SEG of the data set that it differs from, paired by seed. Left of 0, the part that "
        "the variant lacks helps."
    )
    chart = Picture(charts.figure_uri(charts.forest(lines)), "ablations", note, 1112) if lines else None
    return {"rows": rows, "chart": chart}


def _ablation_row(differences: pd.DataFrame, before: findings.Tables, after: findings.Tables) -> dict[str, str]:
    """How SEG of Both, FID and mean distances change from a data set to its variant."""

    def change(measure: Callable[[pd.DataFrame | None], str], table: str) -> str:
        sides = [measure(found.get(table)) for found in (before, after)]
        return " → ".join(sides) if set(sides) != {UNKNOWN} else UNKNOWN

    row = {"fid": change(_main_fid, "fid")}
    row |= {name: change(_mean_distance, name) for name in ("shape", "texture")}
    both = differences[differences["regime"] == "both"]
    if both.empty:
        return row | {"seg": UNKNOWN, "difference": UNKNOWN, "interval": ""}
    main = both.loc[both["n_objects"].idxmax()]
    limits = interval(main.low, main.high)
    return row | {
        "seg": f"{main.over_mean:.3f} → {main.regime_mean:.3f}",
        "difference": signed(main.gain),
        "interval": limits,
    }


def ablation(parent: pd.DataFrame | None, variant: pd.DataFrame | None) -> pd.DataFrame:
    """How SEG changes from a data set to a variant, for networks that saw synthetic images.

    Args:
        parent: Rows of `seg.csv` of the data set; `None` if it was not measured.
        variant: The same of its variant.

    Returns:
        The columns of `paired_gain`, `real` standing for the data set, and `n_objects`: a row for each reference and
        regime, `gain` is variant minus data set.
    """
    rows = [pd.DataFrame(columns=["regime", "n_objects"])]
    if parent is None or variant is None:
        return rows[0]
    for regime in ("both", "synthetic"):
        sides = [table[table["regime"] == regime] for table in (parent, variant)]
        named = [part.assign(regime=name, dataset="") for part, name in zip(sides, ("real", regime))]
        change = paired_gain(pd.concat(named))
        objects = change["reference"].map(sides[1].groupby("reference")["n_objects"].max())
        rows.append(change.assign(n_objects=objects))
    found = pd.concat([part for part in rows if len(part)] or rows[:1], ignore_index=True)
    return found.sort_values("reference", ascending=False, kind="stable") if len(found) else found


def _main_fid(fid: pd.DataFrame | None) -> str:
    if fid is None:
        return UNKNOWN
    chosen = fid.query("metric == 'FID' and pair == 'real-synthetic'")
    return plain(chosen["value"].iloc[0], ".3g") if len(chosen) else UNKNOWN


def _mean_distance(table: pd.DataFrame | None) -> str:
    if table is None:
        return UNKNOWN
    values = table["w1_over_std"].dropna()
    return f"{values.mean():.2f}" if len(values) else UNKNOWN


def distance_rows(tables: Tables) -> dict | None:
    """Distances in real standard deviations: a row per property, a value per data set, tinted by its size."""
    found = {name: findings.measured_distances(entry) for name, entry in tables.items()}
    measured = {name: values for name, values in found.items() if values}
    if not measured:
        return None
    known = dict.fromkeys(key for values in measured.values() for key in values)
    order = sorted(known, key=lambda key: findings.KINDS.index(key[0]))
    rows = [
        {
            "property": readable(key[1]),
            "first": index == 0 or order[index - 1][0] != key[0],
            "cells": [_tinted(values.get(key, np.nan)) for values in measured.values()],
        }
        for index, key in enumerate(order)
    ]
    return {"datasets": list(measured), "rows": rows}


def _tinted(value: float) -> tuple[str, float]:
    """A distance as text, and the opacity of its tint."""
    return plain(value, ".2f"), round(min(value / GAP, 1) ** 0.7 * 0.6, 3) if np.isfinite(value) else 0
