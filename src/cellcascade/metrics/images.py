"""Synthetic images against real frames: how many cells, how close together, on what background, with what rims."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from cellcascade.core.files import write_table
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.contacts import touching_pairs
from cellcascade.data.inpainting import RIM
from cellcascade.data.ngff import read_image
from cellcascade.data.recording import Recording
from cellcascade.data.synthetic import image_paths
from cellcascade.metrics.compare import compare_values
from cellcascade.metrics.texture import RING
from cellcascade.population.distractors import find_things

NONE = np.empty(0)
FEWEST_CELLS = 5  # of which it can be said how their light depends on their depth
MOST_IMAGES = 100  # synthetic images that are measured, evenly spread over all
PROPERTIES = (
    *("cells_per_image", "neighbour_distance_um", "foreground_share", "touching_share"),
    *("image_mean", "background_mean", "background_std", "ring_mean"),
    *("cell_brightness", "small_share", "sliver_share", "contact_light", "unlabelled_things"),
    *("height_um", "light_with_depth"),
)


def measure_image(
    image: np.ndarray, labels: np.ndarray, voxel_size_um: Sequence[float], ignored: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Measure one image.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape, 0 is background; every cell is labelled.
        voxel_size_um: Size of a pixel, ([z,] y, x).
        ignored: Where nobody annotated, bool: left out, and the number of cells is that of a whole image as full as
            the rest; `None`: all is annotated.

    Returns:
        Values by property. One per image: `cells_per_image`, `foreground_share` (share of pixels in cells),
        `touching_share` (share of cells that touch others), `image_mean`, `background_mean` and `background_std`
        (counts, clear of all cells), `cell_brightness` (mean counts of its cells above the background), `small_share`
        (share of cells below half the median size), `sliver_share` (the same of those at the border in the plane) and
        `unlabelled_things` (bright things without a label, apart from all cells); in stacks of five cells or more, also
        `light_with_depth` (correlation of the cells' mean counts with the slice of their centroid).
        One per cell: `neighbour_distance_um` (between the centroids of nearest cells), `height_um` (of cells that no
        border of a stack cuts) and `ring_mean` (counts, within 3 pixels outside the cell in its planes, where no other
        cell is and none is nearer). One per pair of touching cells: `contact_light` (counts above the background within
        2 pixels of each other, relative to the dimmer cell's mean). Empty where the image has no such value: no cells,
        no pixel clear of cells.
    """
    labels = np.asarray(labels)
    known = np.ones(labels.shape, bool) if ignored is None else ~ignored
    names, sizes = np.unique(labels[labels > 0], return_counts=True)
    background = image[_clear((labels > 0) | ~known)]
    level = np.median(background) if background.size else np.nan
    means = ndimage.mean(image, labels, names) - level
    small = sizes < np.median(sizes) / 2 if len(sizes) else sizes > 0
    cut = np.isin(names, at_border(labels))
    pairs = touching_pairs(labels, voxel_size_um)
    return {
        "cells_per_image": np.array([len(names) / known.mean()]),
        "neighbour_distance_um": _neighbour_distances(labels, names, sizes, voxel_size_um),
        "foreground_share": np.array([sizes.sum() / known.sum()]),
        "touching_share": np.array([len(np.unique(pairs.labels)) / len(names)] if len(names) else []),
        "image_mean": np.array([image[known].mean()]),
        "background_mean": np.array([background.mean()] if background.size else []),
        "background_std": np.array([background.std()] if background.size else []),
        "ring_mean": ring_means(image, labels, known),
        "cell_brightness": means[~np.isnan(means)].mean(keepdims=True) if background.size and len(names) else NONE,
        "small_share": small.mean(keepdims=True) if len(names) else NONE,
        "sliver_share": small[cut].mean(keepdims=True) if cut.any() else NONE,
        "unlabelled_things": NONE if ignored is not None else find_things(image, labels).max(keepdims=True).ravel(),
        "contact_light": pairs.light(image, level, names, means) if background.size else NONE,
        **_along_z(labels, names, means, voxel_size_um),
    }


def _along_z(
    labels: np.ndarray, names: np.ndarray, means: np.ndarray, voxel_size_um: Sequence[float]
) -> dict[str, np.ndarray]:
    """`height_um` and `light_with_depth` of a frame; both are empty in 2D."""
    found = {"height_um": NONE, "light_with_depth": NONE}
    if labels.ndim < 3 or not len(names):
        return found
    boxes = [box for box in ndimage.find_objects(labels.astype(np.int32)) if box]
    whole = [box for box in boxes if all(side.start > 0 and side.stop < n for side, n in zip(box, labels.shape))]
    found["height_um"] = np.array([box[0].stop - box[0].start for box in whole]) * voxel_size_um[0]
    if len(names) >= FEWEST_CELLS and means.std() > 0:
        slices = np.array([centre[0] for centre in ndimage.center_of_mass(labels > 0, labels, names)])
        if slices.std() > 0:
            found["light_with_depth"] = np.array([np.corrcoef(means, slices)[0, 1]])
    return found


def at_border(labels: np.ndarray) -> np.ndarray:
    """Labels of cells at the border of the planes; 0 may be among them."""
    return np.unique(np.concatenate([labels.take([0, -1], axis).ravel() for axis in (-2, -1)]))


def ring_means(image: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Mean counts of the ring around each cell: up to 3 pixels away in the plane, other cells left out.

    A pixel near two cells belongs to the nearer one.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape.
        known: Where somebody annotated, bool; the rest belongs to no ring. `None`: everywhere.

    Returns:
        Means `(n)`, of those cells that have a ring.
    """
    known = np.ones(labels.shape, bool) if known is None else known
    planes = zip(*(array[None] if array.ndim == 2 else array for array in (image, labels, known)))
    total, count = np.zeros(int(labels.max()) + 1), np.zeros(int(labels.max()) + 1)
    for counts, cells, seen in planes:
        if not cells.any():
            continue
        distance, nearest = ndimage.distance_transform_edt(cells == 0, return_indices=True)
        ring = (distance > 0) & (distance <= RING + 0.5) & seen  # centres of pixels, half a pixel from the outline
        owner = cells[nearest[0][ring], nearest[1][ring]]
        total += np.bincount(owner, counts[ring], len(total))
        count += np.bincount(owner, minlength=len(count))
    return total[count > 0] / count[count > 0]


def compare_images(*, recording: Recording, synthetic: Path, table: Path) -> None:
    """Stage `evaluate_population`: how the synthetic images of a data set agree with its annotated frames.

    Slices annotated alone (sparse gold truth) are left out, since the cells around them are not labelled; where nothing
    else is annotated, the real columns are empty.

    Args:
        recording: The annotated frames that the models learned from.
        synthetic: Folder of synthetic images, `img-*.ome.zarr`; of more than 100, every so many are measured.
        table: CSV to write, the columns of `compare_values` with a row for each of `PROPERTIES`.

    Raises:
        InputError: The data cannot be read, or there is no synthetic image.
    """
    paths = image_paths(synthetic)
    size_um = read_image(paths[0]).voxel_size_um
    dense = (item for item in recording.frames() if item.z is None)
    real = _joined(_measured(recording, dense, size_um))
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, MOST_IMAGES).round().astype(int))]
    made = _joined(measure_image(image, labels, size_um) for image, labels in _images(chosen))
    found = compare_values({name: (real[name], made[name]) for name in PROPERTIES})
    write_table(table, found, float_format="%.6g")


def _measured(
    recording: Recording, frames: Iterable[AnnotatedFrame], size_um: Sequence[float]
) -> Iterator[dict[str, np.ndarray]]:
    """The values of annotated frames; those that nobody annotated have none."""
    for item in frames:
        ignored = recording.read_ignored(item)
        if ignored is None or not ignored.all():
            yield measure_image(*recording.read(item), size_um, ignored)


def _images(paths: Sequence[Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for path in paths:
        opened = read_image(path)
        yield opened.image[0].compute(), opened.labels[0].compute()


def _joined(measured: Iterator[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    images = list(measured)
    return {name: np.concatenate([values[name] for values in images] or [np.empty(0)]) for name in PROPERTIES}


def _clear(cells: np.ndarray) -> np.ndarray:
    """Pixels clear of cells and of most of their blur, in their plane and the planes above and below."""
    return ndimage.maximum_filter(cells, (3, 2 * RIM + 1, 2 * RIM + 1)[-cells.ndim :]) == 0


def _neighbour_distances(
    labels: np.ndarray, names: np.ndarray, sizes: np.ndarray, voxel_size_um: Sequence[float]
) -> np.ndarray:
    """Distance `(n)` of each cell's centroid to the nearest other one, micrometres; none if there are not two cells."""
    if len(names) < 2:
        return np.array([])
    places = np.nonzero(labels)
    index = np.searchsorted(names, labels[places])
    centroids = np.stack([np.bincount(index, axis) / sizes for axis in places], 1) * voxel_size_um
    return cKDTree(centroids).query(centroids, k=2)[0][:, 1]
