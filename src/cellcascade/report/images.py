"""The part of a data set's page on whole images: a synthetic one with its labels, and one beside a real frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import read_image
from cellcascade.data.pixels import Pixels
from cellcascade.data.shards import UNREADABLE
from cellcascade.data.synthetic import image_paths
from cellcascade.report import figures
from cellcascade.report.pictures import Display, Picture
from cellcascade.report.sources import ImageFiles, read_table

WIDTH = 540  # pixels on the page of one of two pictures side by side


@dataclass(frozen=True)
class Pair:
    """Two pictures side by side, with their common caption."""

    pictures: list[Picture]
    caption: str


@dataclass(frozen=True)
class ImagesPart:
    """What the page shows of whole images.

    Attributes:
        synthetic: A synthetic image, and the same with its labels in colour.
        beside: A real frame and a synthetic image of equal size; `None` where no real frame is at hand.
    """

    synthetic: Pair
    beside: Pair | None


@dataclass(frozen=True)
class ImageTables:
    """Tables of the synthetic images.

    Attributes:
        manifest: `manifest.csv`, a row for each image.
        cells: `cells.csv`, a row for each labelled cell.
    """

    manifest: pd.DataFrame
    cells: pd.DataFrame


@dataclass(frozen=True)
class SyntheticImage:
    """A synthetic image.

    Attributes:
        name: Name of its OME-Zarr.
        image: Counts `((z,) y, x)`.
        labels: Labels of equal shape, 0 is background.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
    """

    name: str
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    voxel_size_um: tuple[float, ...]


def images_part(files: ImageFiles, display: Display) -> ImagesPart:
    """Show whole images, synthetic and real.

    Raises:
        InputError: An image cannot be read.
    """
    beside = None
    if files.recording:
        frame = files.recording.read_image(files.recording.frames()[0])
        beside = beside_real_frame(frame, read_synthetic_image(files.synthetic, -1), display)
    return ImagesPart(synthetic_image(read_synthetic_image(files.synthetic), display), beside)


def read_image_tables(synthetic: Path) -> ImageTables:
    """Read the tables of the folder with the synthetic images.

    Raises:
        InputError: A table is missing or damaged.
    """
    manifest = read_table(synthetic / "manifest.csv", ("not_placed",))
    return ImageTables(manifest, read_table(synthetic / "cells.csv", ("image", "label")))


def read_synthetic_image(folder: Path, index: int = 0) -> SyntheticImage:
    """Read the full resolution of one OME-Zarr image and its labels.

    Args:
        folder: `results/DATASET/synthetic`.
        index: Which of the images, in the order of their names.

    Raises:
        InputError: There is no such image, or it cannot be read.
    """
    paths = image_paths(folder)
    fix = f"delete {folder} and rerun snakemake: it remakes the images from their shards"
    path = paths[index]
    try:
        opened = read_image(path)
        pixels, labels = opened.image[0].compute(), opened.labels[0].compute()
    except (*UNREADABLE, IndexError, TypeError, zarr.errors.GroupNotFoundError) as error:
        raise InputError(
            "A synthetic image cannot be read",
            where=path,
            found=repr(error),
            expected="an OME-Zarr image with labels/cells",
            fix=fix,
        ) from error
    return SyntheticImage(path.name, pixels, labels, opened.voxel_size_um)


def synthetic_image(made: SyntheticImage, display: Display) -> Pair:
    """A synthetic image and its labels: the frame in 2D, three orthogonal planes in 3D."""
    count = len(np.unique(made.labels[made.labels > 0]))
    size = " × ".join(map(str, made.image.shape))
    caption = f"{made.name}: {size} pixels, {count} labelled cells, pixels of {_size(made.voxel_size_um)}"
    sheets, where = labelled_sheets(made, display, scale=max(1, round(WIDTH / made.image.shape[-1])))
    names = ("synthetic image", "the same with its labels in colour")
    pictures = [Picture(figures.image_uri(sheet), name, name, sheet.shape[1]) for sheet, name in zip(sheets, names)]
    return Pair(pictures, f"{caption}; {display.text}{where}.")


def labelled_sheets(made: SyntheticImage, display: Display, *, scale: int) -> tuple[list[np.ndarray], str]:
    """A synthetic image as grey, and with its labels in colour.

    Args:
        made: The image.
        display: How counts are shown.
        scale: Whole number by which the pixels of stacks are enlarged.

    Returns:
        Grey (y, x) and red, green, blue (y, x, 3), uint8, the frame in 2D, three orthogonal planes in 3D; and where
        these are cut, for a caption.
    """
    grey = display.grey(made.image)
    if made.image.ndim == 2:
        return [grey, figures.label_overlay(grey, made.labels)], ""
    inside = made.labels > 0
    z, y, x = (int(inside.sum(tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))
    counts, cells = (
        figures.orthogonal_planes(array, (z, y, x), made.voxel_size_um, scale) for array in (grey, made.labels)
    )
    where = f"; XY at z = {z}, XZ (below) at y = {y}, YZ (right) at x = {x}, equal scale on all axes"
    joined = figures.join_planes(counts)  # coloured as one, for a cell to have one colour in all planes
    return [joined, figures.label_overlay(joined, figures.join_planes(cells, fill=0))], where


def beside_real_frame(frame: np.ndarray | Pixels, made: SyntheticImage, display: Display) -> Pair:
    """A real frame ((z,) y, x) and a synthetic image, cut to equal size, in the same window."""
    planes = [brightest_plane(frame), brightest_plane(made.image)]
    shape = tuple(np.min([plane.shape for plane in planes], axis=0))
    starts = [[(have - want) // 2 for have, want in zip(plane.shape, shape)] for plane in planes]
    cut = [plane[y : y + shape[0], x : x + shape[1]] for plane, (y, x) in zip(planes, starts)]
    scale = max(1, round(WIDTH / shape[1]))
    pictures = [
        Picture(figures.image_uri(figures.enlarge(display.grey(plane), scale)), name, name, shape[1] * scale)
        for plane, name in zip(cut, ("real frame", f"synthetic image ({made.name})"))
    ]
    which = "" if frame.ndim == 2 else "of each, the z plane with the highest mean; "
    return Pair(pictures, f"{shape[0]} × {shape[1]} pixels of both; {which}{display.text}.")


def brightest_plane(volume: np.ndarray | Pixels) -> np.ndarray:
    """The image itself in 2D, the z plane with the highest mean in 3D; of a file, planes are read one by one."""
    return volume[...] if volume.ndim == 2 else volume[int(np.argmax([plane.mean() for plane in volume]))]


def _size(voxel_size_um: Sequence[float]) -> str:
    return " × ".join(f"{value:.4g}" for value in voxel_size_um) + " µm"
