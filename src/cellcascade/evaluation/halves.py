"""The annotated cells in two halves, each to be judged by a network that learned from the other. Free of torch.

With several frames a half is half of them. A single one is split in the middle of its longer side. Of a cell that the
split cuts, the half that its centre lies in learns what it sees of it; in the other it is as dark as the background.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.recording import Recording

NOBODYS = -1  # in the labels of half a frame: what is left out of it
NUMBERS = 2**16  # labels that there can be


@dataclass(frozen=True)
class Half:
    """Half of the annotated cells, and what a network learns from that is to judge them.

    Attributes:
        learned: The other half.
        judged: The annotations of the half's cells.
        labels: Which labels in these are its cells; `None`: all.
    """

    learned: Recording
    judged: list[AnnotatedFrame]
    labels: np.ndarray | None


def halves(recording: Recording, folder: Path) -> list[Half]:
    """The two halves of the annotated cells of a recording.

    Frames of a film are divided into its beginning and its end, as the same cells are in frames that follow each other;
    of single images every second one is in a half.

    Args:
        recording: The annotated frames.
        folder: Empty folder for the halves of a single frame.

    Raises:
        InputError: The data cannot be used, or a half would have no cell.
    """
    found = [item for item in recording.frames() if recording.read_labels(item).any()]
    numbers = sorted({item.frame for item in found})
    if len(numbers) < 2:
        return _halves_of_a_frame(recording, found, folder)
    film = recording.layout == "ctc" or any(item.t is not None for item in found)
    first = numbers[: len(numbers) // 2] if film else numbers[::2]
    parts = first, [number for number in numbers if number not in first]
    return [
        Half(replace(recording, chosen_frames=other), [item for item in found if item.frame in part], None)
        for part, other in zip(parts, parts[::-1])
    ]


def _halves_of_a_frame(recording: Recording, found: Sequence[AnnotatedFrame], folder: Path) -> list[Half]:
    """The halves of a single frame, with copies of its two parts to learn from."""
    if not found:
        raise _no_cells(recording, "none at all")
    image = recording.read_image(found[0])[...]
    axis = int(np.argmax(image.shape[-2:])) - 2
    middle = image.shape[axis] // 2
    centres = _centres((recording.read_labels(item) for item in found), axis)
    own = [np.flatnonzero(centres < middle), np.flatnonzero(centres >= middle)]
    if not all(map(len, own)):
        raise _no_cells(recording, f"{len(own[0])} and {len(own[1])} in the halves of the only frame with cells")
    sides = [(..., side, *[slice(None)] * (-1 - axis)) for side in (slice(0, middle), slice(middle, None))]
    parts = []
    for number, (side, labels) in enumerate(zip(sides, own)):
        place = folder / f"half-{number}"
        _write_image(place / "01" / "t000.tif", image[side])
        for item in found:
            name = "man_seg000.tif" if item.z is None else f"man_seg_000_{item.z:03d}.tif"
            _write_image(place / "01_GT" / "SEG" / name, _labels_of(recording, item, labels)[side])
        parts.append(Recording(place, "01", "GT", recording.voxel_size_um, ignore_label=NOBODYS))
    return [Half(other, list(found), labels) for other, labels in zip(parts[::-1], own)]


def _centres(annotations: Iterable[np.ndarray], axis: int) -> np.ndarray:
    """Centre along an axis of all pixels of each label, by its number; not a number where there is none."""
    counts, sums = np.zeros((2, NUMBERS))
    for labels in annotations:
        places = np.nonzero(labels)
        counts += np.bincount(labels[places], minlength=NUMBERS)
        sums += np.bincount(labels[places], places[axis], minlength=NUMBERS)
    return np.divide(sums, counts, where=counts > 0, out=np.full(NUMBERS, np.nan))


def _labels_of(recording: Recording, item: AnnotatedFrame, own: np.ndarray) -> np.ndarray:
    """The labels of an annotation, int32, in which all but some cells and the background are nobody's."""
    labels, ignored = recording.read_labels(item), recording.read_ignored(item)
    kept = np.where((labels == 0) | np.isin(labels, own), labels.astype(np.int32), NOBODYS)
    return kept if ignored is None else np.where(ignored, NOBODYS, kept)


def _write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack")


def _no_cells(recording: Recording, found: str) -> InputError:
    return InputError(
        "There are too few annotated cells to find out which of them a network misses",
        where=recording.folder / recording.sequence,
        found=f"annotated cells: {found}",
        expected="cells in both halves: one half judges the other",
        fix="set population.focus: 0, or annotate more cells",
    )
