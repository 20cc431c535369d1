"""The report of a data set: one HTML page that holds everything, readable offline and on paper."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.report import findings, sections
from cellcascade.report.pages import write_page
from cellcascade.report.segmentation import segmented_frame
from cellcascade.report.sources import (
    Store,
    open_cells,
    read_benchmarks,
    read_real_frame,
    read_synthetic_image,
    read_table,
)


def write_report(
    *,
    dataset: str,
    config: Mapping,
    crops: str | Path,
    crops_table: str | Path,
    masks: Sequence[str | Path],
    views: Sequence[str | Path],
    volumes: Sequence[str | Path],
    slices: Sequence[str | Path],
    textures: Sequence[str | Path],
    synthetic: str | Path,
    shape_table: str | Path,
    training: Mapping[str, str | Path],
    benchmarks: str | Path | None,
    html: str | Path,
    real_frame: str | Path | None = None,
    evaluation: Mapping[str, str | Path | None] | None = None,
    predictions: Sequence[str | Path] = (),
    truth: tuple[str | Path, str] | None = None,
    rho_table: str | Path | None = None,
    rho: float | None = None,
) -> None:
    """Write the report of one data set as a single HTML file without outside references.

    Args:
        dataset: Name of the data set.
        config: Settings of the data set, shown as they are.
        crops: Store of the real crops.
        crops_table: `crops.csv`.
        masks: Shards of synthetic masks.
        views: Shards of predicted views; empty in 2D.
        volumes: Shards of volumes; empty in 2D.
        slices: Shards of slices; empty in 2D.
        textures: Shards of textured cells.
        synthetic: Folder of the exported images, with `manifest.csv` and `cells.csv`.
        shape_table: `shape.csv`.
        training: Training logs (CSV with step, loss, seconds) by the name of their model; may be empty.
        benchmarks: Folder of Snakemake's benchmark files; may be missing.
        html: The page to write.
        real_frame: A TIFF of the data set; left out where it is missing.
        evaluation: The CSV files `seg`, `gain`, `fid`, `texture`, `population` and `memorisation`; what is `None` or
            not named was not measured.
        predictions: Stores `predictions/1` of the regimes to show on a test frame, one seed of each.
        truth: Folder of the data set and its test sequence; needed for `predictions`.
        rho_table: `rho.csv` of the texture model: likeness of neighbouring slices.
        rho: The strength of consistency that the textures were made with.

    Raises:
        InputError: A file that the page needs is missing, damaged or empty.
    """
    real = Store.open(crops, "crops/1")
    stages = {
        schema.split("/")[0]: open_cells(paths, schema)
        for schema, paths in (
            ("masks/1", masks),
            ("views/2", views),
            ("volumes/1", volumes),
            ("slices/1", slices),
            ("textures/1", textures),
        )
    }
    widest = real.read("widest").astype(bool)
    shown = [cell for cell, entry in stages["textures"].items() if entry.valid and cell in stages["masks"]]
    if not shown or not widest.any():
        raise InputError(
            "There is nothing to report",
            where=crops if shown else ", ".join(map(str, textures)),
            found=f"{int(widest.sum())} real cells, {len(shown)} valid synthetic cells",
            expected="at least one of each",
            fix="look at the reasons in crops.csv and in the shards' attributes; make more cells",
        )
    display = sections.Display.of(real, real.read("brightness")[widest])
    tables = {
        "objects": read_table(crops_table, ("kept", "reason")),
        "shapes": read_table(shape_table, findings.DISTANCES),
        "manifest": read_table(Path(synthetic) / "manifest.csv", ()),
        "cells": read_table(Path(synthetic) / "cells.csv", ("image", "label")),
    }
    measured = findings.read_evaluation(evaluation or {})
    ndim = len(real.attributes["voxel_size_um"])
    compared = segmented_frame(predictions, truth, display=display, ndim=ndim) if truth and predictions else None
    logs = {name: read_table(path, ("step", "loss", "seconds")) for name, path in training.items()}
    content = {
        "dataset": dataset,
        **_numbers(stages, tables, real, display),
        **_cells(stages, real, widest, display, shown),
        **_images(synthetic, real_frame, display),
        **_evaluation(measured, tables["shapes"]),
        "segmented_frame": compared,
        "likeness": sections.likeness(read_table(rho_table, ("rho", "real")) if rho_table else None, rho),
        **_work(logs, benchmarks),
        "config": yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True),
    }
    write_page("page.html.j2", content, html)


def _numbers(stages: Mapping, tables: Mapping[str, pd.DataFrame], real: Store, display: sections.Display) -> dict:
    placed, images = len(tables["cells"]), len(tables["manifest"])
    attributes = real.attributes
    return {
        "headline": sections.headline(
            stages, objects=tables["objects"], placed=placed, images=images, real=real, shapes=tables["shapes"]
        ),
        "voxel": " × ".join(f"{value:.4g}" for value in attributes["voxel_size_um"]),
        "frame": " × ".join(map(str, attributes["frame_shape"])),
        "sequence": attributes.get("sequence", ""),
        "axes": "z, y, x" if len(attributes["voxel_size_um"]) == 3 else "y, x",
        "display": display.text,
        "dropped_objects": sections.dropped_objects(tables["objects"]),
        "dropped_cells": sections.dropped_cells(stages),
        "not_placed": sections.not_placed(tables["manifest"], placed),
    }


def _cells(stages: Mapping, real: Store, widest: np.ndarray, display: sections.Display, shown: list[int]) -> dict:
    um, some = float(real.attributes["voxel_size_um"][-1]), evenly_spaced(shown, sections.SHOWN)
    whole = [cell for cell, entry in stages["volumes"].items() if entry.valid and cell in stages["masks"]]
    histograms, sentence = sections.distributions(real, widest, stages["masks"], stages["textures"], um)
    lined_up, key = sections.line_up(real, widest, stages["textures"], shown, display)
    return {
        "line_up": lined_up,
        "line_up_key": key,
        "real_crops": sections.real_crops(real, widest, display, um),
        "masks": sections.synthetic_masks(stages["masks"], some),
        "cells": sections.synthetic_cells(stages["textures"], some, display, flat=not stages["slices"]),
        "in_3d": [sections.cell_in_3d(cell, stages, display) for cell in evenly_spaced(whole, sections.SHOWN_3D)],
        "whole": len(whole),
        "histograms": histograms,
        "intensity": sentence,
    }


def _images(synthetic: str | Path, real_frame: str | Path | None, display: sections.Display) -> dict:
    pictures, caption = sections.synthetic_image(read_synthetic_image(synthetic), display)
    frame = read_real_frame(real_frame)
    beside, beside_caption = [], ""
    if frame is not None:
        beside, beside_caption = sections.beside_real_frame(frame, read_synthetic_image(synthetic, -1), display)
    return {"image": pictures, "image_caption": caption, "beside": beside, "beside_caption": beside_caption}


def _evaluation(measured: Mapping[str, pd.DataFrame], shapes: pd.DataFrame) -> dict:
    tables = {"shape": shapes, **measured}
    return {
        "verdict": findings.verdict(tables),
        "segmentation": findings.segmentation(tables),
        "features": findings.features(tables.get("fid")),
        "distance_chart": findings.distance_chart(tables),
        "distances": findings.distances(tables),
        "memorisation": findings.memorisation(tables.get("memorisation")),
    }


def _work(logs: Mapping[str, pd.DataFrame], benchmarks: str | Path | None) -> dict:
    table, unread = read_benchmarks(benchmarks)
    rows = [
        {
            "stage": row.stage,
            "jobs": row.jobs,
            "time": sections.duration(row.seconds),
            "longest": sections.duration(row.longest),
            "share": row.seconds / max(table["seconds"].sum(), 1e-9),
            "memory": f"{row.max_rss_mb:,.0f} MB" if np.isfinite(row.max_rss_mb) else "not measured",
        }
        for row in table.itertuples()
    ]
    logs = {name: log for name, log in logs.items() if len(log)}
    curves, models = sections.training(logs) if logs else (None, [])
    total = sections.duration(table["seconds"].sum())
    return {"curves": curves, "models": models, "time": rows, "total": total, "unread": unread}
