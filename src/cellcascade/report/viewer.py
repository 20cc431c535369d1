"""Synthetic images in napari: the reader of the plugin (`napari.yaml`), and a window from the command line."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.ngff import read_facts
from cellcascade.data.shards import UNREADABLE
from cellcascade.data.synthetic import ImageEntry, SyntheticSet, is_synthetic, open_synthetic
from cellcascade.report.preview import window_of

if TYPE_CHECKING:
    import dask.array as da

Layer = tuple["da.Array", dict[str, Any], str]  # pixels, settings and kind of a layer, as readers of napari give them
MEASURED = 5  # images whose counts say what is shown as black and white: to read all would take long


def find_reader(path: str | Sequence[str]) -> Callable[[str], list[Layer]] | None:
    """Find the function that reads what napari is to open.

    Args:
        path: A folder of synthetic images, or one of its OME-Zarr images. Several paths to stack are declined.

    Returns:
        Function that gives the layers of this path, or None: it is neither of them.
    """
    if not isinstance(path, str) or not os.path.isdir(path):
        return None
    if is_synthetic(path):
        return read_set
    return None if _cells_of(Path(path)) is None else read_single


def read_set(path: str) -> list[Layer]:
    """The layers of a folder of synthetic images: all of them, along an axis of their own.

    Raises:
        InputError: The folder is damaged.
    """
    source = open_synthetic(path)
    return layers_of(source.images, source.voxel_size_um)


def read_single(path: str) -> list[Layer]:
    """The layers of one OME-Zarr image of ours, ([z,] y, x).

    Raises:
        InputError: It is damaged.
    """
    place = Path(path)
    entry = ImageEntry(place.name.removesuffix(".ome.zarr"), place, _cells_of(place) or 0)
    layers = layers_of([entry], entry.open().voxel_size_um)
    along = ("scale", "axis_labels", "units")  # what is said of each axis
    return [(data[0], settings | {name: settings[name][1:] for name in along}, kind) for data, settings, kind in layers]


def layers_of(images: Sequence[ImageEntry], voxel_size_um: Sequence[float]) -> list[Layer]:
    """Two layers, `image` and `cells`, in micrometres; an image is opened when it is looked at.

    Args:
        images: Images of one shape.
        voxel_size_um: Size of a pixel, ([z,] y, x).

    Returns:
        Counts and labels, (image, [z,] y, x), with what napari is to know of them.

    Raises:
        InputError: An image cannot be read.
    """
    axes = list("zyx")[-len(voxel_size_um) :]
    shared = {
        "scale": (1.0, *voxel_size_um),
        "axis_labels": ("image", *axes),
        "units": ("pixel", *["micrometer"] * len(axes)),
        "multiscale": False,
    }
    low, high = window_of(evenly_spaced(images, MEASURED))
    window = (low, max(high, low + 1))  # napari takes no window of no width
    return [
        (_stacked(images, "image"), {"name": "image", "contrast_limits": window, **shared}, "image"),
        (_stacked(images, "labels"), {"name": "cells", **shared}, "labels"),
    ]


def open_in_napari(source: SyntheticSet, *, count: int) -> None:
    """Open some images in a window of napari, until it is closed.

    Args:
        source: The images.
        count: Images to open, at most.

    Raises:
        InputError: napari is not installed, or an image cannot be read.
    """
    try:
        import napari
    except ImportError as error:
        raise InputError(
            "napari is not installed",
            where="--napari",
            found=str(error),
            expected="the package napari beside cellcascade",
            fix='pip install -e ".[napari]", in the folder of cellcascade',
        ) from error
    viewer = napari.Viewer(title=str(source.folder))
    for layer in layers_of(evenly_spaced(source.images, count), source.voxel_size_um):
        viewer.add_layer(napari.layers.Layer.create(*layer))
    napari.run()


def _cells_of(place: Path) -> int | None:
    """How many labelled cells an OME-Zarr image of ours says that it has; None, if it is none of ours."""
    import zarr

    try:
        return len(read_facts(place)["cells"])
    except (*UNREADABLE, TypeError, zarr.errors.GroupNotFoundError):
        return None


def _stacked(images: Sequence[ImageEntry], part: str) -> "da.Array":
    """Counts (`image`) or labels (`labels`) of images, (image, [z,] y, x); a chunk opens its image when it is read.

    To open a thousand images takes seconds, which a viewer would stand still for.
    """
    import dask.array as da

    first = getattr(images[0].open(), part)[0]
    most = max(entry.cells for entry in images) if part == "labels" else 0
    dtype = np.result_type(first.dtype, np.min_scalar_type(most))  # labels of some images may need more bits

    def read(block_info: dict[Any, Any]) -> np.ndarray:
        (number, _), *within = block_info[None]["array-location"]
        level = getattr(images[number].open(), part)[0]
        pixels = level[tuple(slice(*bounds) for bounds in within)].compute(scheduler="synchronous")
        return pixels[None].astype(dtype, copy=False)

    chunks = ((1,) * len(images), *first.chunks)
    return da.map_blocks(read, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))
