"""Charts of the pages: distributions, losses, trainings by seed, gains with intervals, learning curves, distances."""

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cellcascade.report.words import named

REAL, SYNTHETIC, INK, PAPER = "#7b8794", "#c8553d", "#1f2933", "#fbfaf8"
COLOURS = {"none": "#a8b0b9", "real": "#5f6b77", "copy_paste": "#3d6b8c", "synthetic": "#dd9a4b", "both": "#c8553d"}
CURVES = {"real": 0.95, "copy_paste": 1.0, "both": 1.05}  # regimes of a learning curve; its points' shift to the side
GROUPS = {"shape": "#3d6b8c", "texture": "#c8553d", "population": "#6b8f3d"}
LINE = "#dde1e6"
FARTHEST = 3.0  # real standard deviations; distances beyond are drawn at the edge
OVERLAPS = {0.5: "f1", 0.6: "f1_60", 0.7: "f1_70", 0.8: "f1_80", 0.9: "f1_90"}


def histograms(panels: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Distributions of real (filled) and synthetic (line) values side by side, as densities.

    Args:
        panels: Title with unit, real values, synthetic values.
    """
    figure = Figure(figsize=(2.9 * len(panels), 2.5), layout="constrained")
    for axes, (title, real, synthetic) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        both = np.concatenate([real, synthetic])
        low, high = np.percentile(both, [0.5, 99.5]) if len(both) else (0, 1)
        bins = int(np.clip(2 * math.sqrt(min(len(real), len(synthetic))), 6, 30))
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        for values, style in (
            (real, {"histtype": "stepfilled", "color": REAL, "alpha": 0.45, "label": "real"}),
            (synthetic, {"histtype": "step", "color": SYNTHETIC, "lw": 1.6, "label": "synthetic"}),
        ):
            if len(values):
                axes.hist(np.clip(values, edges[0], edges[-1]), bins=edges, density=True, **style)
        quiet(axes, title)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def loss_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss against step, one panel per model: its logged values and their running median."""
    figure = Figure(figsize=(3.8 * len(logs), 2.5), layout="constrained")
    for axes, (name, log) in zip(figure.subplots(1, len(logs), squeeze=False)[0], logs.items()):
        axes.plot(log["step"], log["loss"], color=SYNTHETIC, alpha=0.35, lw=1, marker="." if len(log) < 30 else "")
        axes.plot(log["step"], log["loss"].rolling(9, center=True, min_periods=1).median(), color=SYNTHETIC, lw=1.6)
        if (log["loss"] > 0).all():
            axes.set_yscale("log")
        quiet(axes, name)
        axes.set_xlabel("step", fontsize=8, color=INK)
        axes.set_ylabel("loss", fontsize=8, color=INK)
    return figure


def strips(seg: pd.DataFrame, references: Sequence[str]) -> Figure:
    """SEG of every training by regime, one panel per reference; and F1 against the required overlap.

    Args:
        seg: Rows of `seg.csv` of one data set.
        references: The references, the one with most objects first; the F1 curves are of the first.
    """
    figure = Figure(figsize=(11.1, 3.5), layout="constrained")
    panels = figure.subplots(1, len(references) + 1, width_ratios=[1.25] * len(references) + [1])
    for axes, name in zip(panels, references):
        _strip(axes, seg[seg["reference"] == name])
        quiet(axes, f"SEG, {name} truth")
    _overlap_curves(panels[-1], seg[seg["reference"] == references[0]])
    quiet(panels[-1], f"F1 by overlap, {references[0]} truth")
    return figure


def _strip(axes: Axes, seg: pd.DataFrame) -> None:
    regimes = [name for name in COLOURS if name in set(seg["regime"])]
    at = {name: index for index, name in enumerate(regimes)}
    trained = seg[seg["regime"] != "none"].assign(at=lambda table: table["regime"].map(at))
    for _, rows in trained.sort_values("at").groupby("seed"):
        axes.plot(rows["at"], rows["seg"], color="#b9c0c8", lw=0.9, zorder=1)
    for name in regimes:
        values = seg.loc[seg["regime"] == name, "seg"]
        axes.scatter([at[name]] * len(values), values, s=30, color=COLOURS[name], alpha=0.85, lw=0, zorder=3)
        axes.plot([at[name] - 0.2, at[name] + 0.2], [values.mean()] * 2, color=INK, lw=1.8, zorder=4)
    axes.margins(y=0.3)
    _room_for_trained(axes, trained["seg"])
    bottom, top = axes.get_ylim()
    for name in regimes:
        mean = seg.loc[seg["regime"] == name, "seg"].mean()
        if mean < bottom:
            axes.annotate(
                "▼\nfar below",
                (at[name], bottom),
                (0, 6),
                textcoords="offset points",
                color=COLOURS["none"],
                fontsize=8,
                ha="center",
                va="bottom",
            )
        axes.annotate(f"{mean:.3f}", (at[name], top), fontsize=9, color=INK, ha="center", va="top")
    axes.set_xticks(range(len(regimes)), [named(name) for name in regimes])
    axes.set_xlim(-0.5, len(regimes) - 0.5)


def _room_for_trained(axes: Axes, trained: pd.Series) -> None:
    """Let what was trained fill the panel: a generalist far below would press its differences into a line."""
    low, high = axes.get_ylim()
    if len(trained) and (reach := max(trained.max() - trained.min(), 0.02)) < 0.25 * (high - low):
        axes.set_ylim(trained.min() - 0.5 * reach, trained.max() + 0.7 * reach)


def _overlap_curves(axes: Axes, seg: pd.DataFrame) -> None:
    columns = {overlap: name for overlap, name in OVERLAPS.items() if name in seg}
    for name in (name for name in COLOURS if name in set(seg["regime"])):
        values = seg.loc[seg["regime"] == name, list(columns.values())].mean()
        axes.plot(list(columns), values, color=COLOURS[name], lw=1.8, marker="o", ms=4, label=named(name))
    axes.set_xticks(list(columns))
    axes.set_xlabel("required overlap (IoU)", fontsize=8, color=INK)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def lollipops(rows: Sequence[tuple[str, str, float]]) -> Figure:
    """Distances by property, each a point on a line from 0.

    Args:
        rows: Group (`shape`, `texture` or `population`), property, distance in real standard deviations.
    """
    figure = Figure(figsize=(8.6, 0.55 + 0.25 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, (group, _, value) in enumerate(rows):
        end, marker = (value, "o") if value <= FARTHEST else (FARTHEST, ">")
        axes.plot([0, end], [y, y], color=GROUPS[group], lw=2, alpha=0.35, solid_capstyle="butt")
        axes.scatter([end], [y], s=34, color=GROUPS[group], marker=marker, zorder=3, lw=0)
        axes.annotate(f"{value:.2f}", (end, y), (8, 0), textcoords="offset points", fontsize=8, va="center", color=INK)
    axes.set_yticks(range(len(rows)), [name for _, name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(1.05, 1.12 * min(FARTHEST, max(value for *_, value in rows))))
    for x in (0.25, 0.5, 1.0):
        axes.axvline(x, color=LINE, lw=1, zorder=0)
    quiet(axes, "")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(LINE)
    axes.set_xlabel("W₁/σ, in real standard deviations", fontsize=8, color=INK)
    for group in dict.fromkeys(group for group, *_ in rows):
        axes.scatter([], [], s=34, color=GROUPS[group], label=group)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower right")
    return figure


def forest(rows: Sequence[Mapping]) -> Figure:
    """Differences of SEG with their intervals, one line each; right of 0 is better.

    Args:
        rows: Mappings with `name`, `regime`, `gain`, `low`, `high` (NaN where there is no interval) and `text`
            to write at the right edge. A name is written once, at its first row.
    """
    figure = Figure(figsize=(11.1, 0.85 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    shown: set[str] = set()
    labels = []
    for y, row in enumerate(rows):
        colour = COLOURS[row["regime"]]
        axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=2.2, solid_capstyle="round")
        axes.scatter([row["gain"]], [y], s=46, color=colour, zorder=3, lw=0)
        axes.annotate(row["text"], (1.01, y), xycoords=("axes fraction", "data"), fontsize=8.5, va="center", color=INK)
        if row["name"] not in shown and y:
            axes.axhline(y - 0.5, color=LINE, lw=0.8, zorder=0)
        labels.append("" if row["name"] in shown else row["name"])
        shown.add(row["name"])
    axes.axvline(0, color=INK, lw=1, zorder=1)
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    reach = np.nanmax(np.abs([[row["gain"], row["low"], row["high"]] for row in rows])) * 1.1 or 0.01
    axes.set_xlim(-reach, reach)
    quiet(axes, "")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.set_xlabel("difference of SEG", fontsize=8, color=INK)
    for regime in (name for name in COLOURS if any(row["regime"] == name for row in rows)):
        axes.plot([], [], color=COLOURS[regime], lw=2.2, marker="o", label=named(regime))
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


def learning_curves(seg: pd.DataFrame, references: Sequence[str]) -> Figure:
    """SEG against the number of annotated cells, with and without synthetic images.

    Args:
        seg: Rows of `seg.csv` of the data sets that form the curve.
        references: The references, one panel each.
    """
    figure = Figure(figsize=(min(5.55 * len(references), 11.1), 3.9), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(references), squeeze=False)[0], references):
        chosen = seg[seg["reference"] == name]
        counts = sorted(chosen["train_cells"].unique())
        for regime in CURVES:
            _curve(axes, chosen[chosen["regime"] == regime], regime)
        _generalist(axes, chosen.loc[chosen["regime"] == "none", "seg"])
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count}" for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        quiet(axes, f"SEG, {name} truth")
        axes.set_xlabel("annotated training cells", fontsize=8, color=INK)
        axes.legend(ncols=3, frameon=False, fontsize=8.5, labelcolor=INK, loc="lower right", bbox_to_anchor=(1, 0.99))
    return figure


def _generalist(axes: Axes, seg: pd.Series) -> None:
    """A line for the generalist; where it lies far from the curves, its number alone."""
    if seg.empty:
        return
    low, high = axes.get_ylim()
    far = not low - (high - low) < seg.mean() < high + (high - low)
    label = f"None: {seg.mean():.3f}" + ", beyond the panel" * far
    axes.axhline(seg.mean(), color=COLOURS["none"], lw=1.4, ls=(0, (4, 3)), label=label)
    if far:
        axes.set_ylim(low, high)


def _curve(axes: Axes, seg: pd.DataFrame, regime: str) -> None:
    if seg.empty:
        return
    colour, shift = COLOURS[regime], CURVES[regime]
    by_count = seg.groupby("train_cells")["seg"]
    mean, spread = by_count.mean(), by_count.std().fillna(0)
    axes.fill_between(mean.index, mean - spread, mean + spread, color=colour, alpha=0.16, lw=0)
    axes.plot(mean.index, mean, color=colour, lw=2, marker="o", ms=5, label=named(regime))
    axes.scatter(seg["train_cells"] * shift, seg["seg"], s=14, color=colour, alpha=0.55, lw=0, zorder=3)


def quiet(axes: Axes, title: str) -> None:
    """Give a panel a small title and remove what carries no data."""
    axes.set_facecolor(PAPER)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(which="both", labelsize=8, colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def figure_uri(figure: Figure) -> str:
    """A matplotlib figure as a `data:` address of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor=PAPER, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
