"""The part of a data set's page on the work: losses of the trainings, time and memory of the stages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellcascade.report import charts
from cellcascade.report.pictures import Picture
from cellcascade.report.sources import WorkFiles, read_table

NUMBERED = re.compile(r".+-\d+")  # files of one stage: its shards, or its trainings
COLUMNS = ["stage", "jobs", "seconds", "longest", "max_rss_mb"]


@dataclass(frozen=True)
class Model:
    """How a model was trained: its name, steps, last loss and time."""

    name: str
    steps: int
    loss: str
    time: str


@dataclass(frozen=True)
class Stage:
    """What a stage took: its jobs, the time of all of them and of the longest one, its share of all time, memory."""

    name: str
    jobs: int
    time: str
    longest: str
    share: float
    memory: str


@dataclass(frozen=True)
class WorkPart:
    """What the page says of the work.

    Attributes:
        curves: Loss curves; `None` where nothing was trained.
        models: The trained models.
        stages: The stages, the one that took longest first.
        total: Time of all jobs.
        unread: Benchmark files that could not be read.
    """

    curves: Picture | None
    models: list[Model]
    stages: list[Stage]
    total: str
    unread: list[str]


def work_part(files: WorkFiles) -> WorkPart:
    """Say what the trainings and the stages took.

    Raises:
        InputError: A training log is missing or damaged.
    """
    logs = {name: read_table(path, ("step", "loss", "seconds")) for name, path in files.training.items()}
    logs = {name: log for name, log in logs.items() if len(log)}
    table, unread = read_benchmarks(files.benchmarks)
    total = table["seconds"].sum()
    stages = [
        Stage(
            name=row.stage,
            jobs=row.jobs,
            time=duration(row.seconds),
            longest=duration(row.longest),
            share=row.seconds / max(total, 1e-9),
            memory=f"{row.max_rss_mb:,.0f} MB" if np.isfinite(row.max_rss_mb) else "not measured",
        )
        for row in table.itertuples()
    ]
    return WorkPart(_curves(logs), [_model(*item) for item in logs.items()], stages, duration(total), unread)


def read_benchmarks(folder: Path | None) -> tuple[pd.DataFrame, list[str]]:
    """Sum the Snakemake benchmark files of a data set by stage.

    Args:
        folder: Folder with `*.tsv` files (columns `s`, `max_rss`); shards or trainings of one stage lie in one folder.

    Returns:
        One row per stage, the one that took longest first: `stage`, `jobs`, `seconds` (sum), `longest` (seconds of the
        longest job), `max_rss_mb` (NaN if not measured); and the files that could not be read.
    """
    rows, unread = [], []
    named = {path: path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.tsv"))} if folder else {}
    for path, relative in named.items():
        stage = (relative.parent if NUMBERED.fullmatch(relative.name) else relative).as_posix()
        try:
            table = pd.read_csv(path, sep="\t", na_values=["-"])
            rows.append((stage, table["s"].mean(), table["max_rss"].max()))
        except (KeyError, ValueError, OSError):
            unread.append(relative.as_posix())
    if not rows:
        return pd.DataFrame(columns=COLUMNS), unread
    grouped = pd.DataFrame(rows, columns=["stage", "seconds", "max_rss_mb"]).groupby("stage")
    table = grouped.agg(
        jobs=("seconds", "size"),
        seconds=("seconds", "sum"),
        longest=("seconds", "max"),
        max_rss_mb=("max_rss_mb", "max"),
    )
    return table.reset_index().sort_values("seconds", ascending=False, kind="stable"), unread


def duration(seconds: float) -> str:
    """Seconds as text, in the two largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _curves(logs: Mapping[str, pd.DataFrame]) -> Picture | None:
    if not logs:
        return None
    return Picture(charts.figure_uri(charts.loss_curves(logs)), "loss curves", "", min(1120, 375 * len(logs)))


def _model(name: str, log: pd.DataFrame) -> Model:
    last = log.iloc[-1]
    return Model(name, int(last.step), f"{last.loss:.4f}", duration(last.seconds))
