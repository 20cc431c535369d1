"""Annotated planes to train a segmentation network on: real frames, and synthetic images, as the same kind of thing.

Of stacks, Cellpose learns planes of the three orientations, z stretched to the pixels of y and x: what it sees again
when it segments a stack by the flows of all three. Planes are chosen before any is cut. Free of torch.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cellcascade.config.settings import Cellpose
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.ngff import read_image
from cellcascade.data.recording import Recording
from cellcascade.data.synthetic import image_paths
from cellcascade.evaluation.cellpose.cutting import Pair, Source, cut_planes, list_planes
from cellcascade.evaluation.cellpose.record import Regime

logger = logging.getLogger(__name__)

SCALE_RANGE = 0.5  # as in Cellpose's own training: cells are scaled by 0.75 to 1.25
Sample = tuple[np.ndarray, np.ndarray]  # a plane (1, y, x) and its targets (cell, dy, dx; y, x)


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


@dataclass(frozen=True)
class TrainingSet:
    """What a network learns from.

    Attributes:
        regime: none, real, copy_paste, synthetic or both.
        planes: Its planes by their kind, `real`, and `pasted` or `synthetic`.
        shares: Share of each kind in a batch, in the same order.
        frames: The annotated real frames, in every regime.
        cells: Number of annotated cells in these.
        files: Files that the planes are from: real frames, their annotations, and the table of the other images' cells.
        stacks: Whether the images are 3D.
    """

    regime: Regime
    planes: dict[str, Planes]
    shares: tuple[float, ...]
    frames: list[AnnotatedFrame]
    cells: int
    files: list[Path]
    stacks: bool

    @property
    def diameter(self) -> float:
        """Mean of the kinds' diameters by their shares, pixels."""
        return float(np.average([planes.diameter for planes in self.planes.values()], weights=self.shares))

    def counts(self, batch_size: int) -> list[int]:
        """Number of planes of each kind in a batch."""
        return [round(share * batch_size) for share in self.shares]


def training_set(
    regime: Regime, recording: Recording, synthetic: Path | None, settings: Cellpose, batch_size: int
) -> TrainingSet:
    """The planes of a regime.

    Args:
        regime: none, real, copy_paste, synthetic or both; `none` learns nothing, but has the real planes' diameter.
        recording: The annotated frames that the generative models learned from.
        synthetic: Folder of synthetic or, for copy_paste, of pasted images; needed for all regimes but none and real.
        settings: The `evaluation.cellpose` block.
        batch_size: Planes in a batch, of which whole ones are real.

    Raises:
        InputError: The data cannot be used, or hold no labelled cell.
        ValueError: There is no folder of the synthetic images that the regime needs: a fault of the caller.
    """
    orientations, most = settings.volumes == "do_3D", settings.max_images
    planes = {}
    if regime != "synthetic":
        planes["real"] = real_planes(recording, orientations=orientations, most=most)
    if regime not in ("none", "real"):
        if synthetic is None:
            raise ValueError(f"regime {regime} learns from composed images: their folder is needed")
        planes["pasted" if regime == "copy_paste" else "synthetic"] = synthetic_planes(
            synthetic, anisotropy=recording.anisotropy, orientations=orientations, images=most, most=most
        )
    for kind, made in planes.items():
        logger.info("%d %s planes, median diameter %.1f", len(made.images), kind, made.diameter)
    real = round(settings.real_share * batch_size) / batch_size
    frames = recording.frames()
    files = [path for item in frames for path in item.files]
    files += [synthetic / "cells.csv"] if synthetic else []
    shares = (real, 1 - real) if len(planes) == 2 else (1.0,)
    return TrainingSet(regime, planes, shares, frames, recording.count_cells(), files, stacks=recording.ndim == 3)


def real_planes(recording: Recording, *, orientations: bool, most: int) -> Planes:
    """The annotated frames that the generative models learned from.

    Args:
        recording: The annotated frames.
        orientations: Of stacks that are annotated as a whole, XZ and YZ planes beside the XY planes.
        most: Largest number of planes.

    Raises:
        InputError: The data cannot be used, or hold no labelled cell.
    """
    found = recording.frames()
    sources = [
        Source(
            (item.image, item.t), partial(_read_frame, recording, item), partial(recording.read_labels, item), item.z
        )
        for item in found
    ]
    made = _chosen(sources, recording.anisotropy, orientations=orientations, most=most)
    return _planes(made, len({item.frame for item in found}), recording.folder / recording.sequence)


def synthetic_planes(folder: Path, *, anisotropy: float, orientations: bool, images: int, most: int) -> Planes:
    """Composed images of a data set, evenly spread over them.

    Args:
        folder: Folder of `img-00000.ome.zarr` …
        anisotropy: Distance of slices over the size of a pixel.
        orientations: Of stacks, XZ and YZ planes beside the XY planes.
        images: Largest number of images.
        most: Largest number of planes.

    Raises:
        InputError: There are no images, or no cell is in them.
    """
    paths = evenly_spaced(image_paths(folder), images)
    sources = [Source((path, None), partial(_read_counts, path), partial(_read_cells, path)) for path in paths]
    return _planes(_chosen(sources, anisotropy, orientations=orientations, most=most), len(paths), folder)


def _source_of(recording: Recording, item: AnnotatedFrame) -> Source:
    image = item.image, item.t
    return Source(image, partial(_read_frame, recording, item), partial(recording.read_labels, item), item.z)


def _read_frame(recording: Recording, item: AnnotatedFrame) -> np.ndarray:
    """Counts of a frame. What nobody annotated is as dark as its background: a network would learn it as such."""
    image, ignored = recording.read_image(item)[...], recording.read_ignored(item)
    if ignored is not None:
        part = image if item.z is None else image[item.z]
        background = part[~ignored & (recording.read_labels(item) == 0)]
        part[ignored] = np.median(background) if background.size else part.min()
    return image


def _read_counts(path: Path) -> np.ndarray:
    return read_image(path).image[0].compute()


def _read_cells(path: Path) -> np.ndarray:
    return read_image(path).labels[0].compute()


def _chosen(sources: Sequence[Source], anisotropy: float, *, orientations: bool, most: int) -> list[Pair]:
    """At most `most` planes, evenly spread over images, orientations and depths."""
    listed = list_planes(sources, anisotropy, orientations=orientations)
    return list(cut_planes(sources, listed[evenly_spaced(range(len(listed)), most)], anisotropy))


def _planes(pairs: Sequence[Pair], frames: int, where: Path) -> Planes:
    if not pairs:
        raise InputError(
            "There is nothing to train a segmentation network on",
            where=where,
            found=f"no labelled cell in {frames} images",
            expected="images with labelled cells",
            fix="check the annotations, or evaluation.regimes without this kind of images",
        )
    return Planes([image for image, _ in pairs], [labels for _, labels in pairs], frames)
