"""The page across data sets: gains, SEG and FID tables, learning curves, ablations, distances."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cellcascade.core.files import atomic_path
from cellcascade.evaluation.gain import paired_gain
from cellcascade.report import charts, figures, findings
from cellcascade.report.pages import write_page
from cellcascade.report.sections import Picture

Tables = Mapping[str, Mapping[str, pd.DataFrame]]
GAP = 3.0  # real standard deviations at which a distance has its full tint


def write_overview(
    *,
    title: str,
    datasets: Mapping[str, Mapping[str, str | Path | None]],
    html: str | Path,
    table: str | Path,
    curves: Sequence[Sequence[str]] = (),
    ablations: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the page across data sets, and all their SEG scores as one table.

    Args:
        title: Heading of the page.
        datasets: CSV files `seg`, `gain`, `fid`, `shape`, `texture`, `population` and `memorisation` by data set;
            what is `None` or not named was not measured.
        html: The page to write, without outside references.
        table: CSV to write: the rows of `seg.csv` of all data sets.
        curves: Data sets that differ in their number of annotated training frames alone; each list is one curve.
        ablations: Pairs of a data set and a variant of it.

    Raises:
        InputError: A file is missing or lacks a column.
    """
    tables = {name: findings.read_evaluation(paths) for name, paths in datasets.items()}
    segs = [found["seg"] for found in tables.values() if "seg" in found]
    content = {
        "title": title,
        "verdict": verdict(tables),
        "gains": gains(tables),
        "seg": seg_rows(tables),
        "fid": fid_rows(tables),
        "curves": [curve for names in curves if (curve := learning_curve(names, tables))],
        "ablations": ablation_section(ablations, tables),
        "distances": distance_rows(tables),
        "memorisation": [
            {"dataset": name, **row}
            for name, found in tables.items()
            for row in findings.memorisation(found.get("memorisation")) or []
        ],
    }
    write_page("overview.html.j2", content, html)
    rows = pd.concat(segs) if segs else pd.DataFrame(columns=findings.COLUMNS["seg"])
    with atomic_path(table) as scratch:
        rows.to_csv(scratch, index=False)


def verdict(tables: Tables) -> findings.Verdict:
    """Say in how many data sets synthetic images helped."""
    found = {name: findings.verdict(entry) for name, entry in tables.items() if "gain" in entry and "seg" in entry}
    kinds = [item.kind for item in found.values() if item.number != findings.NO_GAIN]
    if not kinds:
        return findings.Verdict(
            "Not measured",
            "No data set here was segmented both with and without synthetic images. To measure it, list the regimes "
            "under evaluation.regimes in the configuration, for example [real, synthetic, both], and run again.",
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
        chosen = found["gain"][found["gain"]["regime"].isin(["both", "synthetic"])]
        references = sorted(chosen["reference"].unique(), reverse=True)
        for row in sorted(chosen.itertuples(), key=lambda row: (references.index(row.reference), row.regime)):
            rows.append(_forest_row(f"{name}, {row.reference}", row.regime, row))
    if not rows:
        return None
    note = (
        "SEG with synthetic images less SEG with real images alone: mean over trainings paired by their seed, and its "
        "95 % interval. Right of 0: the synthetic images helped. Without an interval: a single training."
    )
    return Picture(figures.figure_uri(charts.forest(rows)), "gains by data set", note, 1112)


def _forest_row(name: str, regime: str, row) -> dict:
    seeds = "1 seed" if row.seeds == 1 else f"{int(row.seeds)} seeds"
    text = "  ".join(part for part in (findings.signed(row.gain), findings.interval(row.low, row.high), seeds) if part)
    return {"name": name, "regime": regime, "gain": row.gain, "low": row.low, "high": row.high, "text": text}


def seg_rows(tables: Tables) -> list[dict]:
    """SEG by data set and truth, a column a regime."""
    rows = []
    for name, found in tables.items():
        if "seg" not in found:
            continue
        seg = found["seg"]
        for reference in sorted(seg["reference"].unique(), reverse=True):
            chosen = seg[seg["reference"] == reference]
            by_regime = {regime: chosen[chosen["regime"] == regime] for regime in findings.REGIMES}
            means = {regime: part["seg"].mean() for regime, part in by_regime.items() if len(part)}
            starts = chosen.loc[chosen["regime"] != "none", "start"].dropna() if "start" in chosen else []
            rows.append(
                {
                    "dataset": name,
                    "reference": reference,
                    "annotated": findings.annotated_text(chosen).replace(" annotated", ""),
                    "objects": int(chosen["n_objects"].max()),
                    "seeds": int(chosen.groupby("regime")["seed"].nunique().max()),
                    "start": ", ".join(dict.fromkeys(starts)) or "–",
                    "values": [findings.mean_and_spread(part["seg"]) for part in by_regime.values()],
                    "best": [regime == max(means, key=means.get) for regime in by_regime],
                }
            )
    return rows


def fid_rows(tables: Tables) -> dict | None:
    """FID and KID, a row for each data set and kind of features."""
    rows: dict[tuple[str, str], dict] = {}
    warnings = []
    for name, found in tables.items():
        part = findings.features(found.get("fid"))
        for item in part["rows"] if part else []:
            row = rows.setdefault((name, item["features"]), {"dataset": name, "features": item["features"]})
            row |= {item["metric"]: [item["real"], item["synthetic"]], "n": item["n"]}
        warnings += [text for text in (part["warnings"] if part else []) if text not in warnings]
    empty = [("–", ""), ("–", "")]
    filled = [{"FID": empty, "KID": empty, **row} for row in rows.values()]
    return {"rows": filled, "warnings": warnings} if filled else None


def learning_curve(names: Sequence[str], tables: Tables) -> dict | None:
    """One learning curve: chart and table; `None` where none of its data sets was measured."""
    segs = [tables[name]["seg"] for name in names if "seg" in tables.get(name, {})]
    if not segs:
        return None
    seg = pd.concat(segs).assign(annotated=findings.annotated)
    references = sorted(seg["reference"].unique(), reverse=True)
    no_gain = pd.DataFrame(columns=findings.COLUMNS["gain"])
    gain = pd.concat([tables[name]["gain"] for name in names if "gain" in tables.get(name, {})] or [no_gain])
    rows = []
    for reference in references:
        for (annotated, name), part in seg[seg["reference"] == reference].groupby(["annotated", "dataset"]):
            by = [part.loc[part["regime"] == regime, "seg"] for regime in ("real", "both")]
            row = {"reference": reference, "annotated": int(annotated)}
            row["values"] = [findings.mean_and_spread(values) for values in by]
            over = gain[(gain["dataset"] == name) & (gain["reference"] == reference) & (gain["regime"] == "both")]
            known = len(over) > 0
            row["gain"] = findings.signed(over["gain"].iloc[0]) if known else "–"
            row["interval"] = findings.interval(*over[["low", "high"]].iloc[0]) if known else ""
            row["seeds"] = int(over["seeds"].iloc[0]) if known else "–"
            rows.append(row)
    unit = findings.annotated_unit(seg)
    note = "Points: single trainings; lines: their means; bands: ± one standard deviation over seeds."
    width = min(556 * len(references), 1112)
    chart = Picture(figures.figure_uri(charts.learning_curves(seg, references, unit)), "learning curve", note, width)
    common = os.path.commonprefix(list(names)).rstrip("_-") or names[-1]
    return {
        "title": common,
        "unit": unit,
        "chart": chart,
        "rows": rows,
        "missing": [n for n in names if "seg" not in tables.get(n, {})],
    }


def ablation_section(pairs: Sequence[tuple[str, str]], tables: Tables) -> dict | None:
    """Variants against the data sets they differ from; `None` where nothing was asked for."""
    if not pairs:
        return None
    rows, forest = [], []

    def change(before: str, after: str) -> str:
        return f"{before} → {after}" if {before, after} != {"–"} else "–"

    for parent, variant in pairs:
        before, after = tables.get(parent, {}), tables.get(variant, {})
        differences = ablation(before.get("seg"), after.get("seg"))
        forest += [_forest_row(f"{variant}, {row.reference}", row.regime, row) for row in differences.itertuples()]
        both = differences[differences["regime"] == "both"]
        main = both.loc[both["n_objects"].idxmax()] if len(both) else None
        rows.append(
            {
                "parent": parent,
                "variant": variant,
                "seg": f"{main.real_mean:.3f} → {main.regime_mean:.3f}" if main is not None else "–",
                "difference": findings.signed(main.gain) if main is not None else "–",
                "interval": findings.interval(main.low, main.high) if main is not None else "",
                "fid": change(*(_main_fid(found.get("fid")) for found in (before, after))),
                "shape": change(*(_mean_distance(found.get("shape")) for found in (before, after))),
                "texture": change(*(_mean_distance(found.get("texture")) for found in (before, after))),
            }
        )
    note = "SEG of the variant less SEG of the data set it differs from, paired by seed. Left of 0: the part helps."
    chart = Picture(figures.figure_uri(charts.forest(forest)), "ablations", note, 1112) if forest else None
    return {"rows": rows, "chart": chart}


def ablation(parent: pd.DataFrame | None, variant: pd.DataFrame | None) -> pd.DataFrame:
    """How SEG changes from a data set to a variant, for networks that saw synthetic images.

    Args:
        parent: Rows of `seg.csv` of the data set; `None` if it was not measured.
        variant: The same of its variant.

    Returns:
        The columns of `paired_gain`, `real` standing for the data set, and `n_objects`: a row for each reference and
        regime, `gain` is variant less data set.
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
    chosen = fid.query("metric == 'FID' and pair == 'real-synthetic'") if fid is not None else []
    return findings.plain(chosen["value"].iloc[0], ".3g") if len(chosen) else "–"


def _mean_distance(table: pd.DataFrame | None) -> str:
    values = table["w1_over_std"].dropna() if table is not None else []
    return f"{values.mean():.2f}" if len(values) else "–"


def distance_rows(tables: Tables) -> dict | None:
    """Distances in real standard deviations, a row a property and a column a data set, with tints by size."""
    kinds = ("shape", "texture", "population")
    measured = {
        name: {
            (kind, row.property): row.w1_over_std
            for kind in kinds
            for row in found.get(kind, pd.DataFrame(columns=findings.DISTANCES)).itertuples()
            if np.isfinite(row.w1_over_std)
        }
        for name, found in tables.items()
    }
    measured = {name: values for name, values in measured.items() if values}
    if not measured:
        return None
    known = list(dict.fromkeys(key for values in measured.values() for key in values))
    order = sorted(known, key=lambda key: kinds.index(key[0]))
    rows = [
        {
            "property": findings.readable(key[1]),
            "first": index == 0 or order[index - 1][0] != key[0],
            "cells": [_tinted(values.get(key, np.nan)) for values in measured.values()],
        }
        for index, key in enumerate(order)
    ]
    return {"datasets": list(measured), "rows": rows}


def _tinted(value: float) -> tuple[str, float]:
    return findings.plain(value, ".2f"), round(min(value / GAP, 1) ** 0.7 * 0.6, 3) if np.isfinite(value) else 0
