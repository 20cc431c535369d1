"""How large, how many and how close together the annotated cells of a recording are, in pixels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from cellcascade.core.choice import evenly_spaced
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.recording import Recording

MOST_FRAMES = 12  # annotations that are looked at, evenly spread over all
PIECE = 0.25  # share of the largest piece from which on another one is a cell, too, and no speck


@dataclass(frozen=True)
class Cells:
    """The annotated cells of the frames that were looked at; n cells.

    Attributes:
        per_frame: Number of cells of each annotation.
        areas: Area of each cell's widest plane (n), pixels.
        edges: Longer side of its bounding box in the plane (n), pixels.
        heights: Slices that each cell is in (n); 1 where planes are annotated.
        usable: Whether it is in one piece and off the border (n).
        neighbours: Distance of each cell's centre to the nearest other one of its frame (n or fewer), pixels of the
            plane.
        foreground: Share of the pixels that are in cells.
    """

    per_frame: list[int]
    areas: np.ndarray
    edges: np.ndarray
    heights: np.ndarray
    usable: np.ndarray
    neighbours: np.ndarray
    foreground: float

    @property
    def diameters(self) -> np.ndarray:
        """Diameters of the circles that have the areas (n), pixels."""
        return 2 * np.sqrt(self.areas / np.pi)

    @property
    def fitting(self) -> np.ndarray:
        """Which cells sizes are taken from (n): the usable ones, or all if there are none."""
        return self.usable if self.usable.any() else np.ones(len(self.usable), bool)


def measure(recording: Recording, frames: Sequence[AnnotatedFrame]) -> Cells:
    """Measure the annotated cells of some frames.

    Args:
        recording: The recording.
        frames: Its annotated frames, of which at most twelve are read.

    Raises:
        InputError: An annotation cannot be read.
    """
    rows, neighbours, per_frame, shares = list[tuple[int, int, int, bool]](), [], [], []
    for item in evenly_spaced(frames, MOST_FRAMES):
        labels = recording.read_labels(item)
        found = list(_cells(labels))
        per_frame.append(len(found))
        shares.append(float((labels > 0).mean()))
        rows += [row for row, _ in found]
        neighbours += [_nearest(np.array([centre for _, centre in found]), recording, labels.ndim)]
    areas, edges, heights, usable = (np.array(column) for column in zip(*rows)) if rows else [np.array([])] * 4
    near = np.concatenate(neighbours)
    return Cells(per_frame, areas, edges, heights, usable.astype(bool), near, float(np.mean(shares)))


def are_foreground(recording: Recording, frames: Sequence[AnnotatedFrame]) -> bool:
    """Whether annotations tell cells from background only: one number in all of them, and that in several pieces.

    Args:
        recording: The recording.
        frames: Its annotated frames, of which at most twelve are read.

    Raises:
        InputError: An annotation cannot be read.
    """
    numbers, pieces = set[int](), 0
    for item in evenly_spaced(frames, MOST_FRAMES):
        labels = recording.read_labels(item)
        numbers |= set(np.unique(labels[labels > 0]).tolist())
        if len(numbers) > 1:
            return False
        sizes = np.bincount(ndimage.label(labels)[0].ravel())[1:]
        pieces = max(pieces, int((sizes >= PIECE * sizes.max(initial=0)).sum()))
    return pieces > 1


def frame_shapes(recording: Recording, frames: Sequence[AnnotatedFrame]) -> Counter[tuple[int, ...]]:
    """How many frames have which shape, ([z,] y, x).

    Raises:
        InputError: A frame cannot be read.
    """
    return Counter(recording.read_image(item).shape for item in frames)


def contrast(recording: Recording, item: AnnotatedFrame) -> float:
    """How different cells and background are in a frame: difference of their means by the spread of all counts.

    Raises:
        InputError: The frame or its annotation cannot be read.
    """
    image, labels = recording.read(item)
    inside, spread = labels > 0, float(image.std())
    if spread == 0 or inside.all() or not inside.any():
        return 0.0
    return abs(float(image[inside].mean()) - float(image[~inside].mean())) / spread


def _cells(labels: np.ndarray) -> Iterator[tuple[tuple[int, int, int, bool], np.ndarray]]:
    """Of each cell: area and box of its widest plane, height, whether it is usable; and its centre, ([z,] y, x)."""
    volume = labels if labels.ndim == 3 else labels[None]
    for label, box in enumerate(ndimage.find_objects(volume), 1):
        if box is None:
            continue
        inside = volume[box] == label
        areas = inside.sum((1, 2))
        plane = inside[areas.argmax()]
        rows, columns = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
        edge = int(max(np.ptp(rows), np.ptp(columns))) + 1
        off = all(side.start > 0 and side.stop < size for side, size in zip(box[1:], volume.shape[1:]))
        usable = off and ndimage.label(plane, np.ones((3, 3)))[1] == 1
        centre = np.array([side.start for side in box]) + ndimage.center_of_mass(inside)
        yield (int(areas.max()), edge, int((areas > 0).sum()), usable), centre[-labels.ndim :]


def _nearest(centres: np.ndarray, recording: Recording, ndim: int) -> np.ndarray:
    """Distance of each centre (n, axes) to the nearest other one, pixels of the plane; none if there are not two."""
    if len(centres) < 2:
        return np.array([])
    scale = np.array([recording.anisotropy, 1.0, 1.0][-ndim:])
    return cKDTree(centres * scale).query(centres * scale, k=2)[0][:, 1]
