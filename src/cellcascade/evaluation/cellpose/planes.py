"""Annotated planes to train a segmentation network on: real frames, and synthetic images, as the same kind of thing.

Of stacks, Cellpose learns planes of the three orientations, z stretched to the pixels of y and x: what it sees again
when it segments a stack by the flows of all three. Free of torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.transform import resize

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.ctc import annotated_frames, read_annotated, read_frame
from cellcascade.data.ngff import read_image

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Planes:
    """Planes of one kind of image.

    Attributes:
        images: Normalised planes (y, x), float32: the 1st and 99th percentile of the frame are 0 and 1.
        labels: Their labels (y, x), int32.
        frames: Number of frames or synthetic images that the planes are from.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]
    frames: int

    @property
    def diameter(self) -> float:
        """Median diameter of the circles that have the cells' areas, pixels."""
        areas = np.concatenate([np.bincount(labels.ravel())[1:] for labels in self.labels])
        return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))


def real_planes(
    folder: str | Path,
    sequence: str,
    annotations: str,
    *,
    voxel_size_um: Sequence[float],
    annotated: Mapping[str, int | Sequence[int] | None],
    orientations: bool,
    most: int,
) -> Planes:
    """The annotated frames that the generative models learned from.

    Args:
        folder: The data set's folder.
        sequence: Sequence, e.g. `"01"`.
        annotations: `"ST"` (silver truth) or `"GT"` (gold truth).
        voxel_size_um: Size of a pixel, ([z,] y, x).
        annotated: Only these annotations, `frames` and `slices` as `ctc.annotated_frames` takes them.
        orientations: Of stacks that are annotated as a whole, XZ and YZ planes beside the XY planes.
        most: Largest number of planes.

    Raises:
        InputError: The data cannot be used, or hold no labelled cell.
    """
    ndim = len(voxel_size_um)
    found = annotated_frames(folder, sequence, annotations, **annotated)

    def pairs() -> Iterator[tuple[Pair, np.ndarray]]:
        for item in found:
            image, labels = read_annotated(item, ndim)
            whole = image if item.z is None else read_frame(item.image, ndim)
            yield (image, labels.astype(np.int32)), whole

    anisotropy = voxel_size_um[0] / voxel_size_um[-1]
    return _collect(pairs(), anisotropy, orientations, most, len({f.frame for f in found}), Path(folder) / sequence)


def synthetic_planes(
    folder: str | Path, *, voxel_size_um: Sequence[float], orientations: bool, images: int, most: int
) -> Planes:
    """The synthetic images of a data set, evenly spread over them.

    Args:
        folder: `results/<data set>/synthetic`.
        voxel_size_um: Size of a pixel, ([z,] y, x).
        orientations: Of stacks, XZ and YZ planes beside the XY planes.
        images: Largest number of images.
        most: Largest number of planes.

    Raises:
        InputError: There are no images, or no cell is in them.
    """
    paths = evenly_spaced(sorted(Path(folder).glob("img-*.ome.zarr")), images)

    def pairs() -> Iterator[tuple[Pair, np.ndarray]]:
        for path in paths:
            opened = read_image(path)
            image, labels = opened.image[0].compute(), opened.labels[0].compute()
            yield (image, labels.astype(np.int32)), image

    return _collect(pairs(), voxel_size_um[0] / voxel_size_um[-1], orientations, most, len(paths), Path(folder))


def normalise(image: np.ndarray, whole: np.ndarray | None = None) -> np.ndarray:
    """Counts to the range that Cellpose expects: percentiles 1 and 99 of the whole frame become 0 and 1."""
    low, high = np.percentile(image if whole is None else whole, (1, 99))
    return ((image.astype(np.float32) - low) / max(high - low, 1e-3)).astype(np.float32)


def _collect(
    pairs: Iterator[tuple[Pair, np.ndarray]], anisotropy: float, orientations: bool, most: int, frames: int, where: Path
) -> Planes:
    """Planes that hold a cell, at most `most`, evenly spread over frames, orientations and depths."""
    found = [
        plane
        for (image, labels), whole in pairs
        for plane in _planes(normalise(image, whole), labels, anisotropy, orientations)
    ]
    chosen = evenly_spaced(found, most)
    if not chosen:
        raise InputError(
            "There is nothing to train a segmentation network on",
            where=where,
            found=f"no labelled cell in {frames} images",
            expected="images with labelled cells",
            fix="check the annotations, or evaluation.regimes without this kind of images",
        )
    return Planes([image for image, _ in chosen], [labels for _, labels in chosen], frames)


def _planes(image: np.ndarray, labels: np.ndarray, anisotropy: float, orientations: bool) -> Iterator[Pair]:
    if image.ndim == 2:
        yield from [(image, labels)] * bool(labels.any())
        return
    yield from _with_cells(image, labels)
    if orientations:
        shape = (max(1, round(image.shape[0] * anisotropy)), *image.shape[1:])
        tall = resize(image, shape, order=1, mode="edge", anti_aliasing=False).astype(np.float32)
        rows = np.minimum(((np.arange(shape[0]) + 0.5) * image.shape[0] / shape[0]).astype(int), image.shape[0] - 1)
        for axis in (1, 2):
            yield from _with_cells(np.moveaxis(tall, axis, 0), np.moveaxis(labels[rows], axis, 0))


def _with_cells(image: np.ndarray, labels: np.ndarray) -> Iterator[Pair]:
    for plane, cells in zip(image, labels):
        if cells.any():
            yield np.ascontiguousarray(plane), np.ascontiguousarray(cells)
