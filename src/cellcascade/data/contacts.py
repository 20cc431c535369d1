"""Cells in contact: which cells touch, and how much light they shed on each other. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

TOUCHING = 2.0  # pixels between the centres of the nearest pixels of two cells that count as touching
ALONE = 8  # pixels around a cell without another one that make it stand alone
FEWEST_PAIRS = 10  # pairs of touching cells below which their light says nothing


@dataclass(frozen=True)
class Pairs:
    """Pairs of touching cells.

    Attributes:
        labels: Their labels (n, 2), the smaller one first.
        pixels: Pixels of both that are near the other, as flat indices, by pair.
    """

    labels: np.ndarray
    pixels: list[np.ndarray]

    def light(self, image: np.ndarray, level: float, names: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Light where two cells touch (n), relative to the mean of the dimmer one.

        Args:
            image: Counts, ([z,] y, x).
            level: Background, counts.
            names: Labels of all cells, ascending (m).
            means: Their mean counts above the background (m).
        """
        dimmer = means[np.searchsorted(names, self.labels)].min(1) if len(self.labels) else np.empty(0)
        here = np.array([image.ravel()[pixels].mean() - level for pixels in self.pixels])
        return here[dimmer > 0] / dimmer[dimmer > 0]


def touching_pairs(labels: np.ndarray, voxel_size_um: Sequence[float]) -> Pairs:
    """Pairs of cells within 2 pixels of each other, measured between the centres of pixels.

    Args:
        labels: Labels, ([z,] y, x).
        voxel_size_um: Size of a pixel, ([z,] y, x); in z, distances count in pixels of the plane.
    """
    size = np.asarray(voxel_size_um, float)
    reach = [int(TOUCHING * size[-1] / step) for step in size]
    found, near = [np.empty((0, 2), labels.dtype)], [np.empty((0, 2), int)]
    for offset in product(*(range(-n, n + 1) for n in reach)):
        if offset <= (0,) * labels.ndim or np.linalg.norm(offset * size) > TOUCHING * size[-1] * (1 + 1e-9):
            continue
        here = tuple(slice(max(0, -step), min(0, -step) or None) for step in offset)
        there = tuple(slice(max(0, step), min(0, step) or None) for step in offset)
        meet = labels[here] != labels[there]
        meet &= labels[here] > 0
        meet &= labels[there] > 0
        found.append(np.stack([labels[here][meet], labels[there][meet]], 1))
        places = [[side + part.start for side, part in zip(np.nonzero(meet), view)] for view in (here, there)]
        near.append(np.stack([np.ravel_multi_index(place, labels.shape) for place in places], 1))
    pairs, which = np.unique(np.sort(np.concatenate(found), 1), axis=0, return_inverse=True)
    pixels = np.concatenate(near)
    return Pairs(pairs, [np.unique(pixels[which.ravel() == number]) for number in range(len(pairs))])


@dataclass(frozen=True)
class ContactLight:
    """Light in a frame, counts above the background.

    Attributes:
        edges: Light of the outermost pixels of cells that stand alone, relative to the cell's mean (n).
        rings: Light within two pixels outside them, likewise (n).
        contacts: Light where two cells touch, relative to the mean of both (pairs).
    """

    edges: np.ndarray
    rings: np.ndarray
    contacts: np.ndarray


def measure_contacts(image: np.ndarray, labels: np.ndarray, voxel_size_um: Sequence[float]) -> ContactLight:
    """Measure the light of cells in contact, and of those that stand alone.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape, 0 is background; every cell is labelled.
        voxel_size_um: Size of a pixel, ([z,] y, x).
    """
    names, none = np.unique(labels[labels > 0]), np.empty(0)
    clear = ndimage.maximum_filter(labels > 0, (1,) * (labels.ndim - 2) + (2 * ALONE + 1,) * 2) == 0
    if not len(names) or not clear.any():
        return ContactLight(none, none, none)
    light = image.astype(np.float32) - np.median(image[clear])
    means = ndimage.mean(light, labels, names)
    pairs = touching_pairs(labels, voxel_size_um)
    both = means[np.searchsorted(names, pairs.labels)].mean(1) if len(pairs.labels) else none
    contacts = np.array([light.ravel()[pixels].mean() for pixels in pairs.pixels])
    edges, rings, boxes = [], [], ndimage.find_objects(labels.astype(np.int32))
    for name, mean in zip(names, means):
        box = tuple(slice(max(side.start - ALONE, 0), side.stop + ALONE) for side in boxes[name - 1][-2:])
        part = (boxes[name - 1][0], *box) if labels.ndim == 3 else box
        inside, whole = labels[part] == name, labels[part]
        if mean <= 0 or (whole[~inside] > 0).any():
            continue
        flat = (1,) * (labels.ndim - 2)
        outermost = inside & (ndimage.minimum_filter(inside, (*flat, 3, 3), mode="nearest") == 0)
        edges.append(light[part][outermost].mean() / mean)
        rings.append(light[part][~inside & ndimage.maximum_filter(inside, (*flat, 5, 5))].mean() / mean)
    return ContactLight(np.array(edges), np.array(rings), contacts[both > 0] / both[both > 0])


def neighbour_light(frames: Sequence[ContactLight]) -> float:
    """Share of the light around a cell that falls on a cell beside it: 0 to 1; 1 where too few cells touch to tell.

    Where two cells touch, the light is that of their edges and a share of the light around both.

    Args:
        frames: What was measured of each.
    """
    edges, rings, contacts = (
        np.concatenate([getattr(frame, name) for frame in frames] or [np.empty(0)])
        for name in ("edges", "rings", "contacts")
    )
    if len(contacts) < FEWEST_PAIRS or not len(edges) or rings.mean() <= 0:
        return 1.0
    return float(np.clip((contacts.mean() - edges.mean()) / rings.mean(), 0, 1).round(4))
