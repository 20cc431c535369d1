"""Folders of synthetic images for tests, as the workflow makes them, from arrays."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from cellcascade.data.ngff import write_image
from cellcascade.data.synthetic import CLEAN

SIZES_UM = {2: (0.5, 0.5), 3: (1.0, 0.5, 0.5)}


def scattered(shape: Sequence[int], cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image ([z,] y, x) and its labels: bodies that share what space there is, and touch each other."""
    rng = np.random.default_rng(seed)
    size_um = np.array(SIZES_UM[len(shape)])[:, None] / 0.5
    voxels = np.indices(shape).reshape(len(shape), -1) * size_um
    labels, nearest = np.zeros(voxels.shape[1], np.uint16), np.full(voxels.shape[1], 9.0)
    for label in range(1, cells + 1):
        centre = rng.uniform(4, np.array(shape) * size_um[:, 0] - 4)[:, None]
        distance = np.linalg.norm(voxels - centre, axis=0)
        closer = distance < nearest
        labels[closer], nearest[closer] = label, distance[closer]
    whole = one_piece_each(labels.reshape(shape))
    return rng.poisson(60 + 200 * (whole > 0)).astype(np.uint16), whole


def one_piece_each(labels: np.ndarray) -> np.ndarray:
    """The largest piece of each label that is larger than a speck, numbered from 1 on."""
    made, last = np.zeros_like(labels), 0
    for label in np.unique(labels[labels > 0]):
        pieces, count = ndimage.label(labels == label)
        sizes = np.bincount(pieces.ravel())[1:]
        if count and sizes.max() > 20:
            last += 1
            made[pieces == 1 + sizes.argmax()] = last
    return made


def write_set(
    folder: Path, pairs: Sequence[tuple[np.ndarray, np.ndarray]], *, copies: int = 1, twins: bool = False
) -> Path:
    """Write images and labels as a finished folder of synthetic images; `copies` names have one file in common.

    A twin has the image's mean in every cell and in the background.
    """
    folder.mkdir(parents=True)
    manifest, cells = [], []
    for index, (image, labels) in enumerate(pairs):
        name, found = f"img-{index:05d}", np.unique(labels[labels > 0]).tolist()
        row = {"path": f"{name}.ome.zarr", "seed": index, "cells": len(found)}
        facts = {**row, "dataset": "toy", "cells": [{"label": label} for label in found]}
        size_um = SIZES_UM[image.ndim]
        write_image(folder / row["path"], image, labels, voxel_size_um=size_um, attributes=facts, levels=1)
        if twins:
            means = ndimage.mean(image, labels, np.arange(labels.max() + 1)).astype(np.float32)
            twin = folder / CLEAN / row["path"]
            write_image(twin, means[labels], labels, voxel_size_um=size_um, attributes=facts, levels=1)
        manifest += [{"image": name if copies == 1 else f"{name}-{copy}", **row} for copy in range(copies)]
        cells += [{"image": name, "label": label} for label in found]
    pd.DataFrame(manifest).to_csv(folder / "manifest.csv", index=False)
    pd.DataFrame(cells, columns=["image", "label"]).to_csv(folder / "cells.csv", index=False)
    record = {"dataset": "toy", "seed": 7, "config": {}, "images": len(manifest), "cells": len(cells)}
    (folder / "dataset.json").write_text(json.dumps(record | {"versions": {"cellcascade": "1.2.3"}, "digests": {}}))
    return folder
