"""TIFF files: headers, read without pixels, and parts of their pixels."""

import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
import zarr

from cellcascade.core.errors import InputError
from cellcascade.data.header import Header, Index, unreadable

EXPECTED = "an undamaged TIFF file with one image or one stack"
# What tifffile and its decoders raise over damaged files, found by damaging files at random.
READ_ERRORS = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, tifffile.TiffFileError),
)


def read_header(path: Path) -> Header:
    """Shape, type and axes of a TIFF file; finds files that were cut short, without reading pixels.

    Raises:
        InputError: The file is damaged, cut short, or holds several images of different shapes.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series, size = file.series[0], path.stat().st_size
            if len(file.series) > 1:
                raise _several_images(path, [tuple(item.shape) for item in file.series])
            if series.dataoffset is not None:
                end = series.dataoffset + series.nbytes
            else:
                pages = [page for page in series.pages if page is not None]
                end = max(
                    offset + count for page in pages for offset, count in zip(page.dataoffsets, page.databytecounts)
                )
            if end > size:
                raise ValueError(f"the file ends at byte {size}, its pixels at byte {end}")
            return Header(tuple(series.shape), np.dtype(series.dtype), series.axes)
    except InputError:
        raise
    except READ_ERRORS as error:
        raise unreadable("A TIFF file", path, error, EXPECTED) from error


def read_part(path: Path, part: Index) -> np.ndarray:
    """Read a part of the pixels, as an array of its own, without the pages that are not in it.

    Raises:
        InputError: The file is damaged.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.dataoffset is None:
                # A page is decoded as a whole, however small its strips are.
                return np.asarray(zarr.open_array(series.aszarr(chunkmode="page"), mode="r")[part])
            kind = file.byteorder + series.dtype.char
            stored = file.filehandle.memmap_array(kind, series.shape, series.dataoffset)
            return np.array(stored[part], np.dtype(series.dtype))
    except READ_ERRORS as error:
        raise unreadable("A TIFF file", path, error, EXPECTED) from error


def spacing_um(path: Path) -> dict[str, float]:
    """Size of a pixel by axis (Z, Y, X), micrometres, as far as the file says it: OME-TIFF, ImageJ, or resolution."""
    try:
        with tifffile.TiffFile(path) as file:
            return _of_ome(tifffile.xml2dict(file.ome_metadata)) if file.ome_metadata else _of_imagej(file)
    except READ_ERRORS:  # what is said is of a kind of its own
        return {}


MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}


def _of_ome(metadata: dict) -> dict[str, float]:
    """Sizes that OME-XML states."""
    image = metadata["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    found = {}
    for axis in "ZYX":
        unit = MICROMETRES.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        size = pixels.get(f"PhysicalSize{axis}")
        if unit and size:
            found[axis] = float(size) * unit
    return found


def _of_imagej(file: tifffile.TiffFile) -> dict[str, float]:
    """Sizes that ImageJ states, or any TIFF with a resolution in a metric unit."""
    about, tags = file.imagej_metadata or {}, file.pages.first.tags
    unit = MICROMETRES.get(str(about.get("unit", "")))
    if unit is None and tags.get("ResolutionUnit") is not None and tags["ResolutionUnit"].value == 3:
        unit = MICROMETRES["cm"]
    if unit is None:
        return {}
    found = {"Z": float(about["spacing"]) * unit} if about.get("spacing") else {}
    for axis in "YX":
        pixels, units = tags[f"{axis}Resolution"].value if f"{axis}Resolution" in tags else (0, 1)
        if pixels:
            found[axis] = units / pixels * unit
    return found


def _several_images(path: Path, shapes: list[tuple[int, ...]]) -> InputError:
    return InputError(
        "A TIFF file holds images of different shapes",
        where=path,
        found=", ".join(map(str, shapes[:5])),
        expected="one image or one stack",
        fix="write the frame alone, without thumbnails, masks or levels: tifffile.imwrite(new, tifffile.imread(old, "
        "series=0))",
    )
