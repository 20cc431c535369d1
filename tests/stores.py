"""Stores for tests: what a test does not care about is filled in."""

from pathlib import Path

import numpy as np

from cellcascade.data.shards import Schema

FACTS = {
    "dataset": "toy",
    "seed": 0,
    "digests": {},
    "sequence": "01",
    "voxel_size_um": (1.0, 1.0),
    "window": (0.0, 255.0),
    "frame_shape": (64, 64),
    "frame_dtype": "uint8",
    "frames": (0,),
    "cut_by_border": (True, True),
    "cells_per_frame": (3,),
    "cells_per_slice": (),
    "largest": 255,
    "z_decay": 0.0,
    "mean": 10.0,
    "std": 1.0,
    "skewness": 0.0,
    "redraws": 0,
    "shapes": (0, 1),
    "method": "neus",
    "spacing_um": 1.0,
    "background": 10.0,
    "regime": "real",
}


def write_store(schema: Schema, path: str | Path, arrays: dict[str, np.ndarray], **facts) -> Path:
    """Write a store with these arrays and facts; others are zeros, but for `cell_id` (0, 1, ...) and `valid` (1)."""
    lengths = {"n": 1}
    for name, array in arrays.items():
        lengths |= {axis: n for axis, n in zip(schema.arrays[name].axes.split(), np.shape(array)) if axis != "..."}
    made = {}
    for name, kind in schema.arrays.items():
        shape = [lengths.get(axis, 1) for axis in kind.axes.split() if axis != "..."]
        default = np.arange(shape[0]) if name == "cell_id" else np.full(shape, int(name == "valid"))
        given = np.asarray(arrays.get(name, default))
        made[name] = given if given.dtype.name in kind.types.split() else given.astype(kind.types.split()[0])
    known = {name: value for name, value in FACTS.items() if name in schema.record.model_fields}
    schema.write(path, made, schema.record(**known | facts))
    return Path(path)
