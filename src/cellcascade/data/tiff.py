"""TIFF files of frames and labels: headers, read without pixels, pixels, and what can be wrong with them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

import numpy as np
import tifffile
import zarr

from cellcascade.core.errors import InputError

Index = int | slice | EllipsisType | tuple[int | slice, ...]
CHANNELS = 5  # an axis that is no longer may hold channels
READ_ERRORS = (OSError, ValueError, IndexError, KeyError, struct.error, RuntimeError, tifffile.TiffFileError)


@dataclass(frozen=True)
class Header:
    """What the header of a TIFF file says: shape, type, and whether the last axis is colour."""

    shape: tuple[int, ...]
    dtype: np.dtype
    colour: bool


def read_header(path: Path) -> Header:
    """Shape and type of a TIFF file; finds files that were cut short, without reading pixels.

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
            return Header(tuple(series.shape), np.dtype(series.dtype), "S" in series.axes)
    except InputError:
        raise
    except READ_ERRORS as error:
        raise _corrupt(path, error) from error


class Pixels:
    """The pixels of a TIFF file with one image or one stack, read when they are indexed, and only what is indexed.

    Of a stack that means its slices: `pixels[3]` reads one of them, `pixels[2:5]` three, `pixels[...]` all.
    `np.asarray(pixels)` reads all as well. What was read is not kept.

    Attributes:
        path: The file.
        shape: Its shape, ([z,] y, x).
        dtype: Type of its pixels.
    """

    def __init__(self, path: Path, header: Header):
        self.path, self.shape, self.dtype = path, header.shape, header.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """The slices of a stack, read one by one."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, part: Index) -> np.ndarray:
        """Read a part, as an array of its own.

        Raises:
            InputError: The file is damaged.
        """
        try:
            with tifffile.TiffFile(self.path) as file:
                series = file.series[0]
                if series.dataoffset is None:
                    # A page is decoded as a whole, however small its strips are.
                    return np.asarray(zarr.open_array(series.aszarr(chunkmode="page"), mode="r")[part])
                kind = file.byteorder + series.dtype.char
                return np.array(file.filehandle.memmap_array(kind, series.shape, series.dataoffset)[part], self.dtype)
        except READ_ERRORS as error:
            raise _corrupt(self.path, error) from error

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All pixels."""
        return self[...].astype(dtype or self.dtype, copy=False)


def _corrupt(path: Path, error: Exception) -> InputError:
    return InputError(
        "A TIFF file cannot be read",
        where=path,
        found=f"{type(error).__name__}: {error}",
        expected="an undamaged TIFF file with one image or one stack",
        fix="download or copy the file again",
    )


def _several_images(path: Path, shapes: list[tuple[int, ...]]) -> InputError:
    return InputError(
        "A TIFF file holds images of different shapes",
        where=path,
        found=", ".join(map(str, shapes[:5])),
        expected="one image or one stack",
        fix="write the frame alone, without thumbnails, masks or levels: tifffile.imwrite(new, tifffile.imread(old, "
        "series=0))",
    )


def _fix_axes(shape: tuple[int, ...], ndim: int) -> str:
    """How to fix a frame with other axes than its data set; what is wrong is most often the file."""
    if len(shape) > ndim and 1 in shape:
        return "remove the axis of length one: tifffile.imwrite(new, tifffile.imread(old).squeeze())"
    if len(shape) > ndim and min(shape) <= CHANNELS:
        return (
            f"if the axis of length {min(shape)} holds channels, write one of them; if slices or time, correct "
            "voxel_size_um (two values for 2D, three for 3D), or write each time as a frame"
        )
    return "correct voxel_size_um (two values for 2D, three for 3D), or the frame"


def read_frame_header(path: Path, ndim: int) -> Header:
    """The header of a frame.

    Args:
        path: TIFF file.
        ndim: Axes the frame must have: 2 (y, x) or 3 (z, y, x).

    Raises:
        InputError: The file is damaged, or holds no single channel of 8 or 16 bit counts with `ndim` axes.
    """
    header = read_header(path)
    if header.colour:
        raise InputError(
            "A frame is a colour image",
            where=path,
            found=f"{header.shape[-1]} colour samples a pixel, shape {header.shape}",
            expected="one channel",
            fix="write one channel, or the grey values, as an 8 or 16 bit TIFF; if the samples are slices of a stack, "
            "write it with photometric='minisblack'",
        )
    if header.dtype not in (np.uint8, np.uint16):
        raise InputError(
            "A frame does not hold camera counts",
            where=path,
            found=f"pixels of type {header.dtype}",
            expected="uint8 or uint16",
            fix="write the counts as an unsigned 8 or 16 bit TIFF",
        )
    if len(header.shape) != ndim:
        raise InputError(
            f"A {len(header.shape)}D frame in a data set that is declared {ndim}D",
            where=path,
            found=f"shape {header.shape}",
            expected="(z, y, x)" if ndim == 3 else "(y, x)",
            fix=_fix_axes(header.shape, ndim),
        )
    return header
