"""Masks that Cellpose's window saved: `NAME_seg.npy`, a pickled dictionary, of which the masks alone are read."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from cellcascade.data.header import Header, Index, unreadable

EXPECTED = "a file NAME_seg.npy that Cellpose wrote, with masks in it"
READ_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError, pickle.UnpicklingError)
# What arrays and plain values are made of. A pickle can name any function; others of a stranger's file are not called.
HARMLESS = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
HARMLESS |= {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it would call {module}.{name}, which no masks need")
        return super().find_class(module, name)


def read_header(path: Path) -> Header:
    """Shape, type and axes of the masks.

    Raises:
        InputError: The file is damaged, holds no masks, or would run code.
    """
    masks = _masks(path)
    return Header(masks.shape, masks.dtype, "TZYX"[-masks.ndim :] if masks.ndim != 3 else "QYX")


def read_part(path: Path, part: Index) -> np.ndarray:
    """Read a part of the masks.

    Raises:
        InputError: The file is damaged, holds no masks, or would run code.
    """
    return np.array(_masks(path)[part])


def _masks(path: Path) -> np.ndarray:
    """Labels, ([z,] y, x)."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            read(file)
            content = _Unpickler(file).load().item()
        return np.asarray(content["masks"])
    except READ_ERRORS as error:
        raise unreadable("Masks of Cellpose", path, error, EXPECTED) from error
