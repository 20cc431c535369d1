"""Cellpose: `x.tif` beside `x_masks.tif`, in `train/` and `test/`.

Of stacks, Cellpose learns planes. It takes them as they are, so XZ and YZ planes are stretched to square pixels here:
counts linearly, labels by the nearest slice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cellcascade.config.formats import CellposeFormat
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.synthetic import ImageEntry, SyntheticSet
from cellcascade.exports.base import Exported, check_labels, few, held_out
from cellcascade.exports.tiffs import UINT16, write_counts, write_labels
from cellcascade.geometry.planes import (
    ORIENTATIONS,
    nearest_slices,
    planes_with_cells,
    slab,
    stretched_counts,
    stretched_labels,
)

# What the training of Cellpose 3.1.1.3 took for each pixel of the set, beside 1 GB: the slope from 40 to 240 images of
# 256 x 256 pixels. It holds images as they were read, two float32 channels, labels, and four float32 planes of targets.
BYTES_PER_PIXEL = 30


class Plane(NamedTuple):
    """A plane that may be written: its image, axis across it, where it is cut, its masks and its pixels."""

    image: ImageEntry
    axis: int
    at: int
    masks: int
    pixels: int

    @property
    def name(self) -> str:
        """Name of its files, without their ending; `axis` is negative for an image that is a plane itself."""
        return self.image.name if self.axis < 0 else f"{self.image.name}_{ORIENTATIONS[self.axis]}_{self.at:04d}"


@dataclass(frozen=True)
class Pair:
    """A plane with its labels, ready to be written.

    Attributes:
        name: Name of its files, without their ending.
        counts: Counts, uint16, (y, x).
        labels: Labels, uint16, (y, x).
        masks: Number of its masks.
    """

    name: str
    counts: np.ndarray
    labels: np.ndarray
    masks: int


def write(source: SyntheticSet, folder: Path, settings: CellposeFormat) -> Exported:
    """Write the images, or planes of the stacks, for Cellpose's training.

    Raises:
        InputError: An image cannot be read, has more than 65 535 labels, or none has enough masks.
    """
    tests, listed = held_out(source.images, settings.validation), list(_planes(source, settings))
    sparse = [plane for plane in listed if plane.masks < settings.min_masks]
    join = settings.few_masks == "join"
    usable = [plane for plane in listed if join or plane.masks >= settings.min_masks]
    chosen = _within_memory(usable, settings.memory_gb)
    size_um, written, joined = (source.voxel_size_um[-1],) * 2, {"train": 0, "test": 0}, 0
    for part in written:
        planes = [plane for plane in chosen if (plane.image.name in tests) == (part == "test")]
        for pair in _enough(_cut(planes, source.anisotropy), settings.min_masks):
            write_counts(folder / part / f"{pair.name}.tif", pair.counts, size_um)
            write_labels(folder / part / f"{pair.name}_masks.tif", pair.labels, size_um)
            written[part] += 1
            joined += "+" in pair.name
    if not written["train"]:
        raise _nothing(source, settings)
    what = f"{written['train']} images to train on, {written['test']} to test on"
    notes = _notes(source, settings, sparse=sparse, joined=joined, left=len(usable) - len(chosen))
    return Exported(what, notes, _commands(settings, bool(written["test"])))


def _planes(source: SyntheticSet, settings: CellposeFormat) -> Iterator[Plane]:
    """All planes with a cell in them; of stacks, their labels alone are read for that."""
    for image in source.images:
        if source.ndim == 2:
            if image.cells:
                yield Plane(image, -1, 0, image.cells, int(np.prod(image.open().labels[0].shape)))
            continue
        labels = image.labels()
        rows = nearest_slices(len(labels), source.anisotropy)
        shown = planes_with_cells(labels > 0, source.anisotropy, orientations=settings.orientations)
        for axis, indices in enumerate(shown):
            kept = labels[rows] if axis else labels
            pixels = kept.size // kept.shape[axis]
            for at in indices.tolist():
                yield Plane(image, axis, at, _masks(kept.take(at, axis)), pixels)


def _masks(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(labels)))


def _within_memory(planes: list[Plane], gigabytes: float) -> list[Plane]:
    """As many planes, evenly spaced over images, orientations and depths, as Cellpose can hold in memory."""
    needed = sum(plane.pixels for plane in planes) * BYTES_PER_PIXEL
    return evenly_spaced(planes, int(len(planes) * min(1.0, gigabytes * 1e9 / max(needed, 1))))


def _cut(planes: Iterable[Plane], anisotropy: float) -> Iterator[Pair]:
    """The planes, one image after the other."""
    for image, of_image in groupby(planes, key=lambda plane: plane.image):
        counts, labels = image.counts(), image.labels()
        check_labels(image, labels, UINT16, "the format of Cellpose")
        for plane in of_image:
            if plane.axis < 0:
                yield Pair(plane.name, counts, labels.astype(np.uint16), plane.masks)
                continue
            seen = stretched_counts(slab(counts, plane.axis, plane.at).astype(np.float32), plane.axis, anisotropy)
            cells = stretched_labels(slab(labels, plane.axis, plane.at), plane.axis, anisotropy)
            yield Pair(plane.name, np.rint(seen).astype(counts.dtype), cells.astype(np.uint16), plane.masks)


def _enough(pairs: Iterable[Pair], least: int) -> Iterator[Pair]:
    """Pairs with enough masks as they are; others joined side by side with the next of their shape until they have.

    No more than `least` pairs of a shape wait for others, for each has a mask.
    """
    waiting: dict[tuple[int, ...], list[Pair]] = {}
    for pair in pairs:
        if pair.masks >= least:
            yield pair
            continue
        group = waiting.setdefault(pair.counts.shape, [])
        group.append(pair)
        if sum(item.masks for item in group) >= least:
            yield _joined(waiting.pop(pair.counts.shape))


def _joined(pairs: list[Pair]) -> Pair:
    """Pairs side by side, with labels that go on from one to the next."""
    labels, last = [], 0
    for pair in pairs:
        labels.append(np.where(pair.labels, pair.labels.astype(np.uint32) + last, 0))
        last = max(last, int(labels[-1].max()))
    whole = np.unique(np.concatenate(labels, 1), return_inverse=True)[1].reshape(len(labels[0]), -1)
    name = "+".join([pairs[0].name, *(pair.name.removeprefix("img-") for pair in pairs[1:])])
    counts = np.concatenate([pair.counts for pair in pairs], 1)
    return Pair(name, counts, whole.astype(np.uint16), sum(pair.masks for pair in pairs))


def _notes(source: SyntheticSet, settings: CellposeFormat, *, sparse: list[Plane], joined: int, left: int) -> list[str]:
    kind, names = "images" if source.ndim == 2 else "planes", few([plane.name for plane in sparse])
    notes = [f"images without cells, left out: {few(source.without_cells)}"] if source.without_cells else []
    if sparse:
        fate = "left out" if settings.few_masks == "leave_out" else f"joined side by side to {joined} larger ones"
        notes.append(f"{kind} with fewer than {settings.min_masks} masks, {fate}: {len(sparse)} ({names})")
    if left:
        notes.append(f"{kind} left out, so that the training fits into {settings.memory_gb:g} GB: {left}")
    if source.ndim == 3:
        notes.append(f"z was stretched by {source.anisotropy:.4g}: segment stacks with --anisotropy of this value")
    return notes


def _commands(settings: CellposeFormat, with_test: bool) -> list[str]:
    common = "python -m cellpose --train --dir train" + (" --test_dir test" if with_test else "")
    common += f" --min_train_masks {settings.min_masks} --verbose"
    return [
        f"{common} --pretrained_model cyto3 --chan 0 --n_epochs 100  # Cellpose 3",
        f"{common} --learning_rate 0.00001 --weight_decay 0.1 --n_epochs 100 --train_batch_size 1  # Cellpose 4",
    ]


def _nothing(source: SyntheticSet, settings: CellposeFormat) -> InputError:
    return InputError(
        "No image can be used to train Cellpose",
        where=source.folder,
        found=f"{len(source.images)} images; none to train on has {settings.min_masks} masks or more",
        expected=f"images with min_masks ({settings.min_masks}) masks or more, which fit into memory_gb",
        fix="set few_masks to join, lower min_masks and validation, or make images with more cells",
    )
