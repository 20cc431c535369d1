"""Single cells read from stores, real and synthetic ones in the same form. Free of torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellcascade.core.errors import InputError
from cellcascade.data.crops import Crops
from cellcascade.data.shards import Store
from cellcascade.data.stores import CROPS, MASKS, TEXTURES, TexturesRecord


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


def widest_planes(stacks: Sequence[CellStack]) -> tuple[np.ndarray, np.ndarray]:
    """Counts and masks (n, y, x) of cells, each on its widest slice."""
    widest = [stack.widest for stack in stacks]
    images = np.stack([stack.image[index] for stack, index in zip(stacks, widest)])
    return images, np.stack([stack.mask[index] for stack, index in zip(stacks, widest)])


def real_stacks(crops: Crops) -> list[CellStack]:
    """Crops grouped by their cell, with slices in the order of z; one slice each in 2D."""
    order = np.lexsort((crops.z, crops.label, crops.frame))
    keys = np.stack([crops.frame, crops.label], 1)[order]
    parts = np.split(order, np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1)
    return [CellStack(crops.image[rows], crops.mask[rows], crops.z[rows]) for rows in map(_range, parts)]


def _range(rows: np.ndarray) -> slice | np.ndarray:
    """Rows as a slice where they follow each other: it takes no memory of its own."""
    return slice(rows[0], rows[-1] + 1) if (np.diff(rows) == 1).all() else rows


def synthetic_stacks(textures: Sequence[Path], size: tuple[int, int]) -> list[CellStack]:
    """Valid cells of texture shards.

    Args:
        textures: Shards, `TEXTURES`.
        size: Size (y, x) of the real crops, pixels.

    Raises:
        InputError: A shard cannot be read, its cells differ in size from the crops, a valid cell in it is empty, or no
            shard holds a valid cell.
    """
    stacks = [stack for path in textures for stack in _valid_stacks(TEXTURES.open(path), size)]
    if not stacks:
        raise _no_cell(textures, "valid synthetic cell")
    return stacks


def real_masks(crops: Path) -> np.ndarray:
    """Masks (n, y, x) of the real cells, each on its widest slice.

    Args:
        crops: The crops store.

    Raises:
        InputError: The store cannot be read, or holds no cell.
    """
    masks = _chosen_masks(CROPS.open(crops), "widest")
    if not len(masks):
        raise _no_cell([crops], "real cell")
    return masks


def synthetic_masks(shards: Sequence[Path], size: tuple[int, int]) -> np.ndarray:
    """Masks (n, y, x) of the valid cells of shards.

    Args:
        shards: Shards, `MASKS`.
        size: Size (y, x) of the real crops, pixels.

    Raises:
        InputError: A shard cannot be read, its masks differ in size from the crops, a valid one is empty, or no shard
            holds a valid one.
    """
    found = []
    for path in shards:
        store = MASKS.open(path)
        found.append(_chosen_masks(store, "valid"))
        check_size(path, found[-1].shape[1:], size)
    if not sum(map(len, found)):
        raise _no_cell(shards, "valid synthetic cell")
    return np.concatenate(found)


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
    image, mask, counts = store["image"], store["mask"], store["n_slices"]
    check_size(store.path, image.shape[2:], size)
    for index in np.flatnonzero(store["valid"]):
        count = int(counts[index])
        if not mask[index, :count].any():
            raise store.damaged(f"valid cell {index} is empty", "a mask in every valid cell")
        yield CellStack(image[index, :count], mask[index, :count], np.arange(count))


def _chosen_masks(store: Store, chosen: str) -> np.ndarray:
    """Masks (n, y, x) of a store for which the array `chosen` is not 0."""
    masks = store["mask"][store[chosen].astype(bool)]
    empty = np.flatnonzero(~masks.any((1, 2)))
    if len(empty):
        raise store.damaged(f"{chosen} mask {empty[0]} is empty", f"no empty mask among the {chosen} ones")
    return masks


def _no_cell(paths: Sequence[Path], what: str) -> InputError:
    return InputError(
        "There are no cells to compare",
        where=", ".join(map(str, paths)) or "no shards",
        found=f"no {what}",
        expected="at least one",
        fix="raise cells, or look at the reasons in crops.csv and in the shards' records",
    )
