"""Arrays of OME-Zarr, versions 0.1 to 0.5: the finest level of an image or of its labels. Free of dask."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from cellcascade.data.header import Header, Index, unreadable

EXPECTED = "an OME-Zarr of version 0.4 or 0.5"
METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
READ_ERRORS = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError)
UNITS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "µm": 1.0, "um": 1.0}


def is_group(folder: Path) -> bool:
    """Whether a folder is a Zarr group."""
    return (folder / ".zgroup").is_file() or _node(folder) == "group"


def is_array(folder: Path) -> bool:
    """Whether a folder is a Zarr array."""
    return (folder / ".zarray").is_file() or _node(folder) == "array"


def _node(folder: Path) -> str | None:
    """What a folder of Zarr's third format is."""
    try:
        return json.loads((folder / "zarr.json").read_text(encoding="utf-8")).get("node_type")
    except (OSError, ValueError, AttributeError):
        return None


def images(store: Path) -> list[Path]:
    """Groups of a store that are multiscale images: itself, or those one folder below; none if it holds no image.

    Raises:
        InputError: The store is damaged.
    """
    if not is_group(store):
        return []
    if "multiscales" in _attributes(store):
        return [store]
    below = sorted(path for path in store.iterdir() if path.is_dir() and path.name != "labels" and is_group(path))
    return [path for path in below if "multiscales" in _attributes(path)]


def finest(image: Path) -> Path:
    """Folder of the array of an image's, or of its labels', finest level.

    Raises:
        InputError: The image is damaged.
    """
    try:
        return image / _attributes(image)["multiscales"][0]["datasets"][0]["path"]
    except READ_ERRORS as error:
        raise unreadable("An OME-Zarr", image, error, EXPECTED) from error


def label_names(image: Path) -> list[str]:
    """Names of an image's labels."""
    folder = image / "labels"
    return sorted(path.name for path in folder.iterdir() if is_group(path)) if folder.is_dir() else []


def files_of(array: Path) -> list[Path]:
    """Files of an array, with those that say how it is read."""
    about = [array.parent / name for name in METADATA if (array.parent / name).is_file()]
    return about + sorted(path for path in array.rglob("*") if path.is_file())


def read_header(array: Path) -> Header:
    """Shape, type and axes of an array.

    Raises:
        InputError: It is damaged.
    """
    try:
        opened = zarr.open_array(array, mode="r")
        return Header(tuple(opened.shape), np.dtype(opened.dtype), "".join(_axes(array.parent, opened.ndim)))
    except READ_ERRORS as error:
        raise unreadable("An OME-Zarr", array, error, EXPECTED) from error


def read_part(array: Path, part: Index) -> np.ndarray:
    """Read a part of an array.

    Raises:
        InputError: It is damaged.
    """
    try:
        return np.array(zarr.open_array(array, mode="r")[part])
    except READ_ERRORS as error:
        raise unreadable("An OME-Zarr", array, error, EXPECTED) from error


def spacing_um(array: Path) -> dict[str, float]:
    """Size of a pixel by axis (Z, Y, X), micrometres, as far as the image says it."""
    try:
        about = _attributes(array.parent)["multiscales"][0]
        (scale,) = (item["scale"] for item in about["datasets"][0]["coordinateTransformations"] if "scale" in item)
        return {
            axis["name"].upper(): float(size) * UNITS[axis["unit"]]
            for axis, size in zip(about["axes"], scale)
            if axis["name"] in ("z", "y", "x") and axis.get("unit") in UNITS
        }
    except READ_ERRORS:  # what is said is of a kind of its own
        return {}


def _axes(image: Path, ndim: int) -> list[str]:
    """A letter per axis; before version 0.3 the order is fixed."""
    scales = _attributes(image).get("multiscales") or [{}]
    axes = scales[0].get("axes") or list("tczyx"[-ndim:])
    return [(axis["name"] if isinstance(axis, dict) else axis).upper()[:1] for axis in axes]


def _attributes(group: Path) -> dict[str, Any]:
    try:
        attributes: dict[str, Any] = zarr.open_group(group, mode="r").attrs.asdict()
    except READ_ERRORS as error:
        raise unreadable("An OME-Zarr", group, error, EXPECTED) from error
    return attributes.get("ome", attributes)
