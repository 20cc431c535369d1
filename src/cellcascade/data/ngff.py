"""Annotated images as OME-Zarr: a multiscale image with `labels/cells`, in micrometres."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import zarr
from ome_zarr.format import Format, FormatV04, FormatV05
from ome_zarr.writer import write_label_metadata, write_multiscales_metadata
from zarr.codecs import BloscCodec

if TYPE_CHECKING:
    import dask.array as da

FORMATS: dict[str, Format] = {"0.4": FormatV04(), "0.5": FormatV05()}
CHUNK = (16, 512, 512)
LARGEST = 4096  # pixels along y and x that a viewer shows at once: larger images get coarser levels
# Byte-shuffled Blosc-zstd of level 1 wrote noisy 16-bit images a third faster than Zarr's own zstd, and they were a
# fifth smaller; higher levels take longer and gain nothing.
COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")


class _Scale(TypedDict):
    """How a level's pixels become micrometres."""

    type: str
    scale: list[float]


class _Level(TypedDict):
    """A level of resolution: its array, and the size of its pixels."""

    path: str
    coordinateTransformations: list[_Scale]


@dataclass(frozen=True)
class AnnotatedImage:
    """An OME-Zarr image with its labels, opened lazily.

    Attributes:
        image: Counts of each level, finest first, ([z,] y, x).
        labels: Labels of each level, 0 is background, ([z,] y, x).
        voxel_size_um: Size of the finest level's pixels, ([z,] y, x).
        attributes: What `write_image` was given beside the pixels.
    """

    image: "list[da.Array]"
    labels: "list[da.Array]"
    voxel_size_um: tuple[float, ...]
    attributes: dict[str, Any]


def write_image(
    path: str | Path,
    image: np.ndarray,
    labels: np.ndarray,
    *,
    voxel_size_um: Sequence[float],
    attributes: Mapping[str, Any] | None = None,
    version: str = "0.5",
    levels: int | None = None,
) -> None:
    """Write an image and its labels as one OME-Zarr.

    Args:
        path: The store's folder, `*.ome.zarr`; must not exist.
        image: Counts, ([z,] y, x), unsigned integers or float32.
        labels: Labels of equal shape, 0 is background, unsigned integers.
        voxel_size_um: Size of a pixel, ([z,] y, x).
        attributes: JSON-able facts about the image, kept under the key `cellcascade`.
        version: OME-Zarr version, `"0.5"` or `"0.4"`.
        levels: Resolution levels; each is 2x coarser in y and x, labels by nearest neighbour. `None`: as many as bring
            y and x down to `LARGEST` pixels.

    An array of version 0.5 is one file, whatever its chunks: an image of one level is seven files. Zarr 2, which 0.4 is
    made of, has a file a chunk.
    """
    levels = levels or 1 + max(0, math.ceil(math.log2(max(image.shape[-2:]) / LARGEST)))
    form, name = FORMATS[version], Path(path).name.removesuffix(".ome.zarr")
    root = zarr.create_group(path, zarr_format=form.zarr_format, attributes={"cellcascade": dict(attributes or {})})
    _write_levels(root, _pyramid(image, levels, _half_mean), voxel_size_um, form, name)
    members = root.create_group("labels")
    cells = members.create_group("cells")
    _write_levels(cells, _pyramid(labels, levels, _half_nearest), voxel_size_um, form, "cells")
    write_label_metadata(members, "cells", fmt=form, source={"image": "../../"})
    if version != "0.4":  # the writer leaves the version out of the labels group, where the specification wants it
        members.attrs["ome"] = {**_attributes(members)["ome"], "version": version}


def read_image(path: str | Path) -> AnnotatedImage:
    """Open an image and its labels without reading pixels.

    Args:
        path: An OME-Zarr that `write_image` wrote, of either version.
    """
    root = zarr.open_group(path, mode="r")
    image, voxel_size_um = _read_levels(root)
    cells = root["labels/cells"]
    if not isinstance(cells, zarr.Group):
        raise KeyError("labels/cells is no group")
    labels, _ = _read_levels(cells)
    return AnnotatedImage(image, labels, voxel_size_um, _facts(root))


def read_facts(path: str | Path) -> dict[str, Any]:
    """What `write_image` was given beside the pixels.

    Args:
        path: An OME-Zarr that `write_image` wrote, of either version.
    """
    return _facts(zarr.open_group(path, mode="r"))


def _facts(root: zarr.Group) -> dict[str, Any]:
    return dict(_attributes(root)["cellcascade"])


def _attributes(group: zarr.Group) -> dict[str, Any]:
    """The attributes of a group, as `json.loads` would give them: what they hold is known where they are read."""
    return group.attrs.asdict()


def _half_mean(level: np.ndarray) -> np.ndarray:
    """Half the resolution in y and x, by means of 2 x 2 pixels."""
    odd = [(0, 0)] * (level.ndim - 2) + [(0, level.shape[-2] % 2), (0, level.shape[-1] % 2)]
    level = np.pad(level, odd, mode="edge") if np.any(odd) else level
    whole = np.issubdtype(level.dtype, np.integer)
    rows = level[..., ::2, :].astype(np.uint32 if whole else level.dtype)
    rows += level[..., 1::2, :]
    total = rows[..., ::2] + rows[..., 1::2]
    return ((total + 2) >> 2 if whole else total / 4).astype(level.dtype)


def _half_nearest(level: np.ndarray) -> np.ndarray:
    """Half the resolution in y and x, by nearest neighbour."""
    return level[..., ::2, ::2]


def _pyramid(pixels: np.ndarray, levels: int, half: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """Pixels at all levels of resolution, the finest first."""
    pyramid = [pixels]
    for _ in range(levels - 1):
        pyramid.append(half(pyramid[-1]))
    return pyramid


def _write_levels(
    group: zarr.Group, pyramid: Sequence[np.ndarray], voxel_size_um: Sequence[float], form: Format, name: str
) -> None:
    axes = list("zyx")[-pyramid[0].ndim :]
    datasets: list[_Level] = []
    for index, level in enumerate(pyramid):
        _write_array(group, f"s{index}", np.ascontiguousarray(level), axes)
        coarser = {"y": 2**index, "x": 2**index}
        scale = [float(size) * coarser.get(axis, 1) for axis, size in zip(axes, voxel_size_um)]
        datasets.append({"path": f"s{index}", "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    write_multiscales_metadata(
        group, datasets, fmt=form, axes=axes, axes_units=dict.fromkeys(axes, "micrometer"), name=name
    )


def _write_array(group: zarr.Group, name: str, pixels: np.ndarray, axes: list[str]) -> None:
    """An array of a group: in chunks, which version 3 of Zarr keeps in one file, a shard of them all."""
    chunks = tuple(min(n, chunk) for n, chunk in zip(pixels.shape, CHUNK[-pixels.ndim :]))
    if group.metadata.zarr_format == 2:
        group.create_array(name, data=pixels, chunks=chunks, chunk_key_encoding={"name": "v2", "separator": "/"})
    else:
        shards = tuple(-(-n // chunk) * chunk for n, chunk in zip(pixels.shape, chunks))
        group.create_array(
            name, data=pixels, chunks=chunks, shards=shards, compressors=[COMPRESSOR], dimension_names=axes
        )


def _read_levels(group: zarr.Group) -> "tuple[list[da.Array], tuple[float, ...]]":
    import dask.array as da

    attributes = _attributes(group)
    datasets: list[_Level] = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
    size_um = tuple(datasets[0]["coordinateTransformations"][0]["scale"])
    return [da.from_zarr(group[item["path"]]) for item in datasets], size_um
