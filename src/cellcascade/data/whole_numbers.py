"""Whole numbers in files of another type than they need: ImageJ and others write counts and labels as 32 bit floats."""

from pathlib import Path

import numpy as np

from cellcascade.core.errors import InputError

KINDS = "iuf"  # of types that may hold whole numbers
LARGEST = int(np.iinfo(np.uint16).max)


def as_counts(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Counts, uint16, of a frame's pixels of another type.

    Args:
        pixels: Numbers of any shape.
        path: The file that they are from, for the message.

    Raises:
        InputError: They are no whole numbers from 0 to 65535.
    """
    if not _all_whole(pixels) or pixels.min(initial=0) < 0 or pixels.max(initial=0) > LARGEST:
        raise InputError(
            "A frame does not hold camera counts",
            where=path,
            found=_found(pixels),
            expected=f"whole numbers from 0 to {LARGEST}",
            fix="shift and scale all frames alike, e.g. 0 to 1 by 10000, round them, and write them as 16 bit TIFFs",
        )
    return pixels.astype(np.uint16)


def as_labels(numbers: np.ndarray, path: Path) -> np.ndarray:
    """Whole numbers of labels that may be of a floating type.

    Args:
        numbers: Numbers of any shape.
        path: The file that they are from, for the message.

    Raises:
        InputError: They are not whole.
    """
    if numbers.dtype.kind != "f":
        return numbers
    if not _all_whole(numbers):
        raise InputError(
            "An annotation does not hold whole numbers",
            where=path,
            found=_found(numbers),
            expected="one number a cell, 0 for what is no cell",
            fix="do not interpolate labels when they are scaled or turned, and write them as a 16 bit TIFF",
        )
    return numbers.astype(np.int64)


def _all_whole(numbers: np.ndarray) -> bool:
    return numbers.dtype.kind != "f" or bool((np.isfinite(numbers) & (np.rint(numbers) == numbers)).all())


def _found(numbers: np.ndarray) -> str:
    """What is in the file, with a number that is not whole."""
    text = f"pixels of type {numbers.dtype} from {numbers.min():g} to {numbers.max():g}"
    broken = numbers[np.rint(numbers) != numbers] if numbers.dtype.kind == "f" else numbers[:0]
    return f"{text}, such as {broken.flat[0]:g}" if broken.size else text
