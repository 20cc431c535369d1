"""The document of the stores, docs/stores.md, from their schemas: `python -m cellcascade.data.store_document`."""

import types
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from cellcascade.data.shards import Array, Record, Schema
from cellcascade.data.stores import (
    BACKGROUND,
    CROPS,
    MASKS,
    PREDICTIONS,
    SHAPES,
    SLICES,
    TEXTURES,
    VIEWS,
    VOLUMES,
)

INTRODUCTION = """\
# Stores

The intermediate results are stores. A store is one file: a Zarr v3 group in a zip archive, written whole or not at all.
Equal inputs and an equal seed give equal bytes on CPUs of the same kind, and nearly equal numbers on GPUs. With this
package:

```python
from cellcascade.data.stores import MASKS

store = MASKS.open("results/GOWT1/masks/shard-003.zarr.zip")  # one clear error if this is no such store
masks = store["mask"][store["valid"] == 1]  # a whole array; store.read("mask", 5) reads one row
print(store.record.redraws, store.record.reasons)  # its record
```

Without this package:

```python
import zarr

group = zarr.open_group(zarr.storage.ZipStore("results/GOWT1/masks/shard-003.zarr.zip", mode="r"), mode="r")
print(group["mask"][:].shape, dict(group.attrs))  # the attributes are the record
```

**Axes.** `n` counts the items of the store: cells, and frames for predictions. `v` are views, `c` channels, `s` slices,
and `z`, `y`, `x` pixels or voxels. `[z,]` is there in 3D only. Masks are 0 or 1. Distances are positive inside a cell.

**Failed cells.** `cell_id` is the number of a cell in its data set. `valid` is 0 for a cell that failed in this stage
or in an earlier one; the record's `reasons` say why. Such cells are not used in any image.

**The record** of every store has `schema` (kind and version of its layout, for example `masks/2`), `dataset`, `seed`,
`stage_version` and `package_version` (of what wrote it), and `digests` (of the files that it was made from). What each
store has in addition is listed below.

This file is made by `python -m cellcascade.data.store_document > docs/stores.md`.
"""

CAMERAS = """\
## Cameras

A volume fills the width of the crop: the edge of its cube is `crops.size` pixels of y and x, whatever the number of
voxels. Lengths in views and volumes are in half widths of the crop, so the cube goes from -1 to 1. The world's axes are
x to the right, y down, and z along the optical axis, away from the viewer. The input view looks along z.

The extrinsics E of a view are a rigid motion from the world to the camera; the rows of the rotation point right, down
and forward. The intrinsics K map a point of the camera to (u q, v q, q). The image coordinates u and v go from -1 to 1,
from edge to edge. So a point X of the world is seen at u, v = (K E [X, 1])[:2] / q. For orthographic cameras q is 1;
for perspective cameras q is the distance along the forward direction. The depth of a point is this distance minus that
of the middle of the cube.
"""

CELL = {
    "cell_id": "number of the cell in its data set",
    "valid": "1 for a usable cell, 0 for a failed one",
}
VIEW = {
    "extrinsics": "from the world to the camera, 4 x 4; see [Cameras](#cameras)",
    "intrinsics": "from the camera to the image, 3 x 4",
}
REASONS = {"reasons": "why cells are not valid, by their numbers"}
CHANNELS = (
    "channel 0: signed distance to the silhouette; with `multiview.surface: depth` also channel 1: middle between the "
    "front and the back of the body, and channel 2: square of half the distance between them"
)


@dataclass(frozen=True)
class Described:
    """A store in words.

    Attributes:
        name: Its title.
        path: Where it is, below `results/`.
        about: What it holds.
        arrays: Meaning of each array of its schema, by name.
        facts: Meaning of each field that its record has beside those of every record, by name.
    """

    name: str
    path: str
    about: str
    arrays: dict[str, str]
    facts: dict[str, str] = field(default_factory=dict)


STORES: list[tuple[Schema, Described]] = [
    (
        CROPS,
        Described(
            "Crops",
            "DATASET/crops.zarr.zip",
            "Real cells, each alone on background. In 3D there are several slices of a cell if `crops.slices_per_cell` "
            "says so. `evaluation/test_crops.zarr.zip` holds the same of the test sequence, which nothing learns from.",
            {
                "image": "counts; neighbours are replaced by background",
                "mask": "the cell",
                "frame": "number of its frame",
                "label": "its label in the annotation",
                "z": "its slice; -1 in 2D",
                "widest": "1 on the cell's annotated or widest slice",
                "area_ratio": "area, relative to that of the cell's widest slice",
                "brightness": "mean counts inside the mask of the cell's widest slice; the same on all its slices",
                "background": "median counts of the background in the crop",
            },
            {
                "sequence": "the sequence, for example 01",
                "voxel_size_um": "size of a pixel, ([z,] y, x), micrometres",
                "window": "counts that become black and white",
                "frame_shape": "shape of the frames, ([z,] y, x), pixels",
                "frame_dtype": "type of the frames' counts",
                "frames": "numbers of the annotated frames",
                "cut_by_border": "by axis, ([z,] y, x): does the border of a frame cut an annotated cell?",
                "cells_per_frame": "number of cells in each frame that is annotated as a whole",
                "cells_per_slice": "mean number of cells in the annotated slices, for each frame with single ones",
                "layout": "how the cells of densely annotated frames lie, or sections in annotated slices: `edges` of "
                "classes of distance between two cells, pixels; `closeness`, pairs in each, relative to cells strewn "
                "at random; `touching`, share of the cells by frame or slice; `gap` and `reach`, as in `population`; "
                "`least_share`, size of cells at the border",
                "heights": "3D: height over width of the cells, from the smallest to the largest",
                "fading": "where single slices are annotated, how cells fade along z: `fall`, light in the last slice "
                "within a cell, the one before it, …, relative to its middle; `decay`, light in a slice beyond a cell, "
                "relative to that of the slice before",
                "neighbour_light": "share of the light around a cell that falls on a cell beside it",
                "slice_likeness": "3D: mean correlation of the counts of cells, of the widest slice and its neighbours",
            },
        ),
    ),
    (
        BACKGROUND,
        Described(
            "Background",
            "DATASET/background.zarr.zip",
            "The background of the frames: smooth fields, noise, and bright things without a label, each in a crop.",
            {
                "fields": "smooth backgrounds of single frames, at low resolution, counts",
                "levels": "levels of the background at which the noise was measured, counts",
                "residuals": "quantiles of the noise at each level, counts",
                "correlation": "correlation of the noise; lag 0 is in the middle",
                "thing_image": "counts of bright things without a label; neighbours are replaced by background",
                "thing_mask": "the thing",
                "thing_slices": "how many slices are not empty; 1 in 2D",
                "thing_border": "border of the frame that it reaches, (y, x): -1 the first, 1 the last, 0 none",
            },
            {
                "frame_shape": "shape of the frames, ([z,] y, x), pixels",
                "largest": "largest count of the camera",
                "z_decay": "share of a slice's signal that the next slice beyond a cell shows; 0 in 2D",
                "fading": "how cells fade along z, as in crops; null where their slices show it",
                "mean": "mean of the background, counts",
                "std": "its standard deviation, counts",
                "skewness": "its skewness",
                "things_per_frame": "bright things without a label in each frame that is annotated as a whole",
                "haze_widths": "widths of the Gaussians that spread the cells' light around them, pixels",
                "haze_weights": "share of the light that each spreads",
            },
        ),
    ),
    (
        MASKS,
        Described(
            "Masks",
            "DATASET/masks/shard-003.zarr.zip",
            "Synthetic masks.",
            {"mask": "the cell", **CELL},
            {**REASONS, "redraws": "number of flawed samples that were drawn again"},
        ),
    ),
    (
        SHAPES,
        Described(
            "Shapes",
            "shared/spharm/shard-003.zarr.zip",
            "Random bodies of spherical harmonics that train the multiview model (`multiview.weights: train`).",
            {
                "views": f"views of the bodies, the input view first; {CHANNELS}",
                "coeffs": "spherical-harmonic coefficients of the radius",
                **VIEW,
            },
            {"shapes": "number of the first shape, and of the one after the last"},
        ),
    ),
    (
        VIEWS,
        Described(
            "Views",
            "DATASET/views/shard-003.zarr.zip",
            "3D: the views that the multiview model predicts for each mask, without the input view.",
            {"views": f"zeros for cells that are not valid; {CHANNELS}", **VIEW, **CELL},
            REASONS,
        ),
    ),
    (
        VOLUMES,
        Described(
            "Volumes",
            "DATASET/volumes/shard-003.zarr.zip",
            "3D: bodies that fit the views.",
            {
                "sdf": "signed distance to the surface, in half widths of the crop",
                "reprojection_iou": "IoU of the body's silhouette with each view, the input mask first",
                "section_iou": "IoU of the central section with the input mask",
                **CELL,
            },
            {**REASONS, "method": "`reconstruction.method`"},
        ),
    ),
    (
        SLICES,
        Described(
            "Slices",
            "DATASET/slices/shard-003.zarr.zip",
            "3D: the bodies, cut along z. A cell with fewer slices than the tallest one ends in empty slices.",
            {
                "mask": "the slices of the cell",
                "n_slices": "how many of them are not empty",
                "widest": "index of the widest slice",
                "section_iou": "IoU of the widest slice with the mask that the cell came from",
                **CELL,
            },
            {**REASONS, "spacing_um": "distance of slices, micrometres"},
        ),
    ),
    (
        TEXTURES,
        Described(
            "Textures",
            "DATASET/textures/shard-003.zarr.zip",
            "Synthetic cells with their texture. In 2D, s is 1.",
            {
                "image": "counts, from 0 to the largest count of the camera (whole numbers, not scaled)",
                "mask": "the cell",
                "n_slices": "how many slices are not empty; 1 in 2D",
                **CELL,
            },
            {
                **REASONS,
                "background": "median background of the real crops, counts",
                "redraws": "number of textures that missed their outline and were drawn again",
            },
        ),
    ),
    (
        PREDICTIONS,
        Described(
            "Predictions",
            "DATASET/evaluation/cellpose/both-0/predictions.zarr.zip",
            "What one Cellpose found in the test sequence.",
            {
                "mask": "labels; 0 is background",
                "probability": "that a pixel is of a cell, by the network; 255 is 1",
                "frame": "number of the frame in the test sequence",
            },
            {
                "regime": "what it was trained on: none, real, copy_paste, synthetic or both",
                "sequence": "the test sequence",
            },
        ),
    ),
]


def document() -> str:
    """The text of docs/stores.md."""
    return "\n".join([INTRODUCTION, *(_section(schema, words) for schema, words in STORES), CAMERAS])


def _section(schema: Schema, words: Described) -> str:
    lines = [f"## {words.name}: `{schema.tag}`", "", f"`results/{words.path}`", "", words.about, ""]
    lines += ["| array | axes | type | meaning |", "|---|---|---|---|"]
    lines += [_row(name, kind, words.arrays[name]) for name, kind in schema.arrays.items()]
    return "\n".join([*lines, "", *_facts(schema.record, words.facts)])


def _row(name: str, kind: Array, meaning: str) -> str:
    axes = f"({', '.join(kind.axes.split())})".replace("..., y", "[z,] y")
    return f"| `{name}` | {axes} | {' or '.join(kind.types.split())} | {meaning} |"


def _facts(record: type[Record], meanings: dict[str, str]) -> list[str]:
    """What a record has beside that of every store, as a list."""
    own = [name for name in record.model_fields if name not in Record.model_fields]
    lines = [f"- `{name}` ({_kind(record.model_fields[name].annotation)}): {meanings[name]}" for name in own]
    return ["The record also has:", "", *lines, ""] if lines else []


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), [part for part in get_args(annotation) if part is not Ellipsis]
    if origin is dict:
        return "texts by number"
    if origin is types.UnionType:
        return " or ".join(map(_kind, inner))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "values by name"
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", type(None): "none"}
    return names[annotation] if origin is None else f"{len(inner)} values" if len(inner) > 1 else "list"


if __name__ == "__main__":
    print(document(), end="")
