"""Single cells read from stores, real and synthetic ones in the same form. Free of torch.

Cells come one after the other: what is in memory does not grow with their number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from cellcascade.core.errors import InputError
from cellcascade.data.crops import Crops
from cellcascade.data.shards import Store
from cellcascade.data.stores import CROPS, MASKS, TEXTURES, TexturesRecord

AT_ONCE = 64  # cells that are read from a store at once
T = TypeVar("T")


@dataclass(frozen=True)
class CellStack:
    """Slices of one cell.

    Attributes:
        image: Counts (s, y, x).
        mask: The cell (s, y, x), above 0 inside.
        z: Numbers of the slices (s); they tell how far apart two slices are.
    """

    image: np.ndarray
    mask: np.ndarray
    z: np.ndarray

    @property
    def widest(self) -> int:
        """Index of the slice in which the cell is widest."""
        return int((self.mask > 0).sum((1, 2)).argmax())

    @property
    def plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts and mask (y, x) of the slice in which the cell is widest."""
        return self.image[self.widest], self.mask[self.widest]


def real_stacks(crops: Crops) -> Iterator[CellStack]:
    """Crops grouped by their cell, with slices in the order of z; one slice each in 2D."""
    order = np.lexsort((crops.z, crops.label, crops.frame))
    keys = np.stack([crops.frame, crops.label], 1)[order]
    cells = np.split(order, np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1)
    for start in range(0, len(cells), AT_ONCE):
        some = cells[start : start + AT_ONCE]
        ends = np.cumsum([len(cell) for cell in some])[:-1]
        image, mask = (np.split(crops.store.read(name, np.concatenate(some)), ends) for name in ("image", "mask"))
        yield from map(CellStack, image, mask, (crops.z[cell] for cell in some))


def synthetic_stacks(textures: Sequence[Path], size: tuple[int, int]) -> Iterator[CellStack]:
    """Valid cells of texture shards.

    Args:
        textures: Shards, `TEXTURES`.
        size: Size (y, x) of the real crops, pixels.

    Raises:
        InputError: A shard cannot be read, its cells differ in size from the crops, a valid cell in it is empty, or no
            shard holds a valid cell.
    """
    stacks = (stack for path in textures for stack in _valid_stacks(TEXTURES.open(path), size))
    return _some(stacks, textures, "valid synthetic cell")


def real_masks(crops: Path) -> Iterator[np.ndarray]:
    """Masks (y, x) of the real cells, each on its widest slice.

    Args:
        crops: The crops store.

    Raises:
        InputError: The store cannot be read, or holds no cell.
    """
    return _some(_chosen_masks(CROPS.open(crops), "widest"), [crops], "real cell")


def synthetic_masks(shards: Sequence[Path], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Masks (y, x) of the valid cells of shards.

    Args:
        shards: Shards, `MASKS`.
        size: Size (y, x) of the real crops, pixels.

    Raises:
        InputError: A shard cannot be read, its masks differ in size from the crops, a valid one is empty, or no shard
            holds a valid one.
    """
    return _some((mask for path in shards for mask in _valid_masks(path, size)), shards, "valid synthetic cell")


def check_size(path: Path, found: tuple[int, ...], size: tuple[int, int]) -> None:
    """Make sure that a store's cells are as large as the crops that they are compared with.

    Args:
        path: The store.
        found: Size (y, x) of its cells, pixels.
        size: Size (y, x) of the crops, pixels.

    Raises:
        InputError: The sizes differ.
    """
    if tuple(found) != tuple(size):
        raise InputError(
            "Real and synthetic cells differ in size",
            where=path,
            found=f"cells of {tuple(found)} pixels (y, x)",
            expected=f"{tuple(size)}, as the crops that the models learned from",
            fix=f"delete {path} and rerun snakemake: it remakes this file alone",
        )


def _valid_stacks(store: Store[TexturesRecord], size: tuple[int, int]) -> Iterator[CellStack]:
    check_size(store.path, store.shape("image")[2:], size)
    counts = store["n_slices"]
    for index in np.flatnonzero(store["valid"]):
        image, mask = (store.read(name, int(index))[: counts[index]] for name in ("image", "mask"))
        if not mask.any():
            raise store.damaged(f"valid cell {index} is empty", "a mask in every valid cell")
        yield CellStack(image, mask, np.arange(counts[index]))


def _valid_masks(path: Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    store = MASKS.open(path)
    check_size(path, store.shape("mask")[1:], size)
    yield from _chosen_masks(store, "valid")


def _chosen_masks(store: Store, chosen: str) -> Iterator[np.ndarray]:
    """Masks (y, x) of a store for which the array `chosen` is not 0."""
    rows = np.flatnonzero(store[chosen])
    for start in range(0, len(rows), AT_ONCE):
        for number, mask in enumerate(store.read("mask", rows[start : start + AT_ONCE]), start):
            if not mask.any():
                raise store.damaged(f"{chosen} mask {number} is empty", f"no empty mask among the {chosen} ones")
            yield mask


def _some(cells: Iterator[T], paths: Sequence[Path], what: str) -> Iterator[T]:
    """The cells; it is an error if there is none."""
    first = next(cells, None)
    if first is None:
        raise _no_cell(paths, what)
    yield first
    yield from cells


def _no_cell(paths: Sequence[Path], what: str) -> InputError:
    return InputError(
        "There are no cells to compare",
        where=", ".join(map(str, paths)) or "no shards",
        found=f"no {what}",
        expected="at least one",
        fix="raise cells, or look at the reasons in crops.csv and in the shards' records",
    )
