"""Tiny 2D and 3D data sets: everything that a page is made from."""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from cellcascade.data.ngff import write_image
from cellcascade.data.recording import Recording
from cellcascade.data.shards import Schema
from cellcascade.data.stores import CROPS, MASKS, PREDICTIONS, SLICES, TEXTURES, VIEWS, VOLUMES
from cellcascade.metrics.shape import compare_shapes
from cellcascade.metrics.texture import compare_textures
from cellcascade.report.sources import CellFiles, EvaluationFiles, ImageFiles, WorkFiles
from tests.stores import write_store

SIZE, CELLS = 16, 6
VOXELS = {2: (0.5, 0.5), 3: (2.0, 0.5, 0.5)}
SHAPES = {2: (32, 40), 3: (6, 32, 40)}
SCHEMAS = {"masks": MASKS, "views": VIEWS, "volumes": VOLUMES, "slices": SLICES, "textures": TEXTURES}


def discs(n: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.stack([(x**2 + (1 + 0.3 * rng.random()) * y**2 < rng.uniform(9, 36)) for _ in range(n)]).astype("u1")


def ball(radius: float, size: int = 24) -> np.ndarray:
    z, y, x = (2 * np.mgrid[:size, :size, :size] + 1) / size - 1
    return radius - np.sqrt(z**2 + y**2 + x**2)


def write_shards(folder: Path, schema: Schema, arrays: dict[str, np.ndarray], **facts) -> list[Path]:
    """Two shards of three cells each."""
    paths = []
    for number, part in enumerate((slice(0, 3), slice(3, 6))):
        split = {key: value[part] for key, value in {"cell_id": np.arange(CELLS), **arrays}.items()}
        paths.append(write_store(schema, folder / f"shard-{number:03d}.zarr.zip", split, **facts))
    return paths


def write_cells(folder: Path, ndim: int, rng: np.random.Generator) -> dict[str, list[Path]]:
    """Shards of all stages; cell 1 fails as a mask, cell 4 as a volume (3D)."""
    valid = np.array([1, 0, 1, 1, 1, 1], "u1")
    mask = discs(CELLS, rng) * valid[:, None, None]
    slices = np.stack([mask * 0, mask, mask], 1) if ndim == 3 else mask[:, None]
    reasons, stages = {1: "3 pieces"}, {name: [] for name in SCHEMAS}
    stages["masks"] = write_shards(folder / "masks", MASKS, {"mask": mask, "valid": valid}, reasons=reasons, redraws=4)
    if ndim == 3:
        views = rng.normal(size=(CELLS, 2, 3, 8, 8)) * valid[:, None, None, None, None]
        stages["views"] = write_shards(folder / "views", VIEWS, {"views": views, "valid": valid}, reasons=reasons)
        valid = valid * (np.arange(CELLS) != 4).astype("u1")
        reasons = reasons | {4: "reprojection IoU 0.61 is below 0.8"}
        iou = np.full((CELLS, 2), 0.97)
        arrays = {"sdf": np.stack([ball(0.6)] * CELLS), "reprojection_iou": iou, "valid": valid}
        stages["volumes"] = write_shards(folder / "volumes", VOLUMES, arrays, reasons=reasons)
        arrays = {"mask": slices, "n_slices": np.full(CELLS, 3), "widest": np.ones(CELLS), "valid": valid}
        arrays["section_iou"] = np.full(CELLS, 0.93)
        stages["slices"] = write_shards(folder / "slices", SLICES, arrays, spacing_um=2.0, reasons=reasons)
    arrays = {"image": slices * 100 + rng.integers(0, 20, slices.shape), "mask": slices, "valid": valid}
    arrays["n_slices"] = np.full(CELLS, slices.shape[1])
    stages["textures"] = write_shards(folder / "textures", TEXTURES, arrays)
    return stages


def write_crops(folder: Path, ndim: int, rng: np.random.Generator) -> None:
    """Crops of seven cells, two of one cell, and the table of the six annotated objects of one frame."""
    mask = discs(8, rng)
    arrays = {
        "image": mask * 90 + rng.integers(0, 20, mask.shape),
        "mask": mask,
        "widest": np.array([1, 0, 1, 1, 1, 1, 1, 1]),
        "label": np.array([1, 1, 2, 3, 4, 5, 6, 7]),
        "z": np.array([0, 1, 0, 0, 0, 0, 0, 0]),
        "brightness": rng.uniform(80, 110, 8),
    }
    facts = {"voxel_size_um": VOXELS[ndim], "window": (3.0, 123.0), "frame_shape": SHAPES[ndim]}
    write_store(CROPS, folder / "crops.zarr.zip", arrays, cells_per_frame=(3, 4), **facts)
    reasons = ["", "touches border", "", "touches border", "too small", ""]
    table = pd.DataFrame({"label": range(6), "kept": [not reason for reason in reasons], "reason": reasons})
    table.to_csv(folder / "crops.csv", index=False)


def write_images(folder: Path, ndim: int, rng: np.random.Generator) -> None:
    """Two synthetic images of two cells each, with their tables."""
    labels = two_squares(ndim)
    for index in range(2):
        image = ((labels > 0) * 80 + rng.integers(0, 20, labels.shape)).astype("u2")
        write_image(folder / f"img-{index:05d}.ome.zarr", image, labels, voxel_size_um=VOXELS[ndim], levels=2)
    names = ["img-00000", "img-00001"]
    pd.DataFrame({"image": names, "not_placed": [0, 3]}).to_csv(folder / "manifest.csv", index=False)
    cells = pd.DataFrame({"image": np.repeat(names, 2), "label": [1, 2, 1, 2]})
    cells.to_csv(folder / "cells.csv", index=False)


def two_squares(ndim: int) -> np.ndarray:
    labels = np.zeros(SHAPES[ndim], "u2")
    labels[..., 4:10, 4:10], labels[..., 12:20, 12:20] = 1, 2
    return labels


def write_work(folder: Path) -> WorkFiles:
    """A training log and benchmark files of two stages."""
    log = pd.DataFrame({"step": [10, 20], "loss": [0.5, 0.25], "seconds": [4.0, 75.0]})
    log.to_csv(folder / "training.csv", index=False)
    for stage, seconds in (("crops", 3.0), ("masks/shard-000", 40.0), ("masks/shard-001", 50.0)):
        path = folder / f"benchmarks/{stage}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:03\t{100 + seconds}\n")
    return WorkFiles({"mask model": folder / "training.csv"}, folder / "benchmarks")


def write_dataset(folder: Path, ndim: int) -> dict:
    """All arguments of `write_report`, for a data set without real frames and predictions."""
    rng = np.random.default_rng(0)
    write_crops(folder, ndim, rng)
    stages = write_cells(folder, ndim, rng)
    write_images(folder / "synthetic", ndim, rng)
    crops = folder / "crops.zarr.zip"
    tables = {"table": folder / "shape.csv", "cells": folder / "shape_cells.csv"}
    compare_shapes(crops=crops, masks=stages["masks"], **tables)
    tables = {"table": folder / "texture.csv", "cells": folder / "texture_cells.csv"}
    compare_textures(crops=crops, textures=stages["textures"], **tables)
    likeness = {"correlation": "coarse", "rho": [0.0, 1.0, 4.0], "synthetic": [0.1, 0.5, 0.9], "real": 0.3, "pairs": 24}
    pd.DataFrame(likeness)[: 3 if ndim == 3 else 0].to_csv(folder / "rho.csv", index=False)
    return {
        "dataset": "TOY <2>",
        "settings": {"cells": CELLS, "texture": {"base": "scratch & new"}},
        "rho": 0.7,
        "correlation": "coarse",
        "cells": CellFiles(
            crops=crops,
            crops_table=folder / "crops.csv",
            **stages,
            shapes=folder / "shape_cells.csv",
            intensities=folder / "texture_cells.csv",
            rho_table=folder / "rho.csv",
        ),
        "images": ImageFiles(folder / "synthetic"),
        "evaluation": EvaluationFiles({"shape": folder / "shape.csv"}),
        "work": write_work(folder),
        "html": folder / "report/index.html",
    }


def write_recording(folder: Path, ndim: int, sequence: str = "02") -> Recording:
    """Two frames of a sequence with silver truth."""
    labels = two_squares(ndim)
    for path, pixels in (
        (f"{sequence}/t{{:03d}}.tif", labels * 40 + 10),
        (f"{sequence}_ST/SEG/man_seg{{:03d}}.tif", labels),
    ):
        for number in range(2):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / path.format(number), pixels)
    return Recording(folder, sequence, "ST", VOXELS[ndim])


def write_predictions(folder: Path, ndim: int) -> list[Path]:
    """Segmentations of the two frames: one that misses a cell, and a perfect one."""
    labels = two_squares(ndim)
    results = {"real": labels * (labels == 1), "both": labels}
    return [
        write_store(
            PREDICTIONS,
            folder / f"{regime}-0/predictions.zarr.zip",
            {"mask": np.stack([result] * 2), "frame": np.arange(2)},
            regime=regime,
        )
        for regime, result in results.items()
    ]
