"""Planes of annotated images: listed first, then cut, so that no more is in memory than one image and what is wanted.

Planes of stacks have up to three orientations, z stretched to the pixels of y and x. Free of torch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cellcascade.geometry.planes import planes_with_cells, slab, stretched_counts, stretched_labels

Pair = tuple[np.ndarray, np.ndarray]  # a plane (y, x) and its labels


@dataclass(frozen=True)
class Source:
    """An annotated image, read when it is asked for.

    Attributes:
        image: File of the image and its time point; of sources that follow each other with the same, it is read once.
        read_image: Gives its counts, ([z,] y, x), whole even if a slice alone is annotated.
        read_labels: Gives the labels of the image, or of the annotated slice.
        z: The annotated slice; `None` if the whole image is annotated.
    """

    image: tuple[Path, int | None]
    read_image: Callable[[], np.ndarray]
    read_labels: Callable[[], np.ndarray]
    z: int | None = None


class Place(NamedTuple):
    """Where a plane is: number of its source, axis across it, and where on that axis it is cut."""

    source: int
    axis: int
    at: int


def list_planes(sources: Iterable[Source], anisotropy: float, *, orientations: bool) -> np.ndarray:
    """All planes with a cell in them, by their labels alone.

    Args:
        sources: The images.
        anisotropy: Distance of slices over the size of a pixel.
        orientations: Of stacks, XZ and YZ planes beside the XY planes.

    Returns:
        A `Place` a row, (plane, 3), int32, in the order of images, orientations and depths.
    """
    found = [np.empty((0, 3), np.int32)]
    for number, source in enumerate(sources):
        for axis, indices in enumerate(
            planes_with_cells(source.read_labels() > 0, anisotropy, orientations=orientations)
        ):
            found.append(np.stack(np.broadcast_arrays(number, axis, indices), 1).astype(np.int32))
    return np.concatenate(found)


def cut_planes(sources: Sequence[Source], places: np.ndarray, anisotropy: float) -> Iterator[Pair]:
    """Cut planes out of their images, one image after the other.

    Args:
        sources: The images.
        places: Some rows of `list_planes`, in its order.
        anisotropy: Distance of slices over the size of a pixel.

    Yields:
        A normalised plane (y, x), float32, and its labels (y, x), int32.
    """
    listed = (Place(*row) for row in places.tolist())
    for _, of_image in groupby(listed, key=lambda place: sources[place.source].image):
        yield from _cut_image(sources, list(of_image), anisotropy)


def window_of(whole: np.ndarray) -> tuple[float, float]:
    """Counts of a frame that become 0 and 1: its percentiles 1 and 99."""
    low, high = np.percentile(whole, (1, 99))
    return low, high


def normalise(image: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """Counts to the range that Cellpose expects, float32.

    Args:
        image: Counts, ([z,] y, x).
        window: Counts that become 0 and 1; `None`: those of the image, see `window_of`.
    """
    low, high = np.array(window_of(image) if window is None else window)
    made = np.empty(image.shape, np.float32)
    for part, counts in zip(made, image):  # in double precision, of which a stack would take a lot of memory
        part[...] = (counts.astype(np.float32) - low) / max(high - low, 1e-3)
    return made


def _cut_image(sources: Sequence[Source], places: list[Place], anisotropy: float) -> Iterator[Pair]:
    """Planes of one image, of which several slices may be sources of their own."""
    whole = sources[places[0].source].read_image()
    window = window_of(whole)
    for number, of_source in groupby(places, key=lambda place: place.source):
        source = sources[number]
        image, labels = whole if source.z is None else whole[source.z], source.read_labels()
        if image.ndim == 2:
            image, labels = image[None], labels[None]
        for place in of_source:
            yield _plane(image, labels, window, place, anisotropy)


def _plane(image: np.ndarray, labels: np.ndarray, window: tuple[float, float], place: Place, anisotropy: float) -> Pair:
    """One plane of a stack; where z is one of its axes, it is stretched: counts linearly, labels by the nearest."""
    counts = normalise(slab(image, place.axis, place.at), window)
    cells = stretched_labels(slab(labels, place.axis, place.at), place.axis, anisotropy)
    return stretched_counts(counts, place.axis, anisotropy), cells.astype(np.int32)
