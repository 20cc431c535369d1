"""Frames and labels in image files of any format: which part of a file is the frame, read when it is indexed."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

import numpy as np

from cellcascade.core.errors import InputError
from cellcascade.data import pictures, seg_npy, tiff, zarr_levels
from cellcascade.data.header import Header, Index
from cellcascade.data.whole_numbers import KINDS, as_counts

TIFF_SUFFIXES = (".tif", ".tiff")
SEG_SUFFIX = "_seg.npy"
SUFFIXES = (*TIFF_SUFFIXES, *pictures.SUFFIXES)  # of files with frames or labels
Patch = tuple[slice, slice]  # of the last two axes
UNNAMED = "IQ"  # axes whose meaning a TIFF file does not say


@dataclass(frozen=True)
class _Format:
    """How files of one format are read."""

    read_header: Callable[[Path], Header]
    read_part: Callable[[Path, Index], np.ndarray]


TIFF = _Format(tiff.read_header, tiff.read_part)
PICTURE = _Format(pictures.read_header, pictures.read_part)
SEG_NPY = _Format(seg_npy.read_header, seg_npy.read_part)
ZARR = _Format(zarr_levels.read_header, zarr_levels.read_part)


class Pixels:
    """The pixels of a frame or of its labels, read when they are indexed, and only what is indexed.

    Of a stack that means its slices: `pixels[3]` reads one of them, `pixels[2:5]` three, `pixels[...]` all.
    `np.asarray(pixels)` reads all as well. What was read is not kept.

    Attributes:
        path: The file.
        colour: Whether several channels are left, of which none was chosen.
        shape: Shape of the frame, ([z,] y, x).
        dtype: Type of its pixels.
        stored: Their type in the file.
        unnamed: Length of the axes of which the file does not say what they are, where a part of it is the frame.
    """

    def __init__(self, path: Path, header: Header, fixed: dict[int, int] | None = None, *, colour: bool = False):
        """Open a part of a file.

        Args:
            path: The file.
            header: What its header says.
            fixed: Where along an axis of the file the frame is, by the number of the axis; the others are the frame's.
            colour: Whether several channels are left, of which none was chosen.
        """
        self.path, self.colour, self._fixed = path, colour, fixed or {}
        self.dtype = self.stored = header.dtype
        unnamed = [size for name, size in zip(header.axes, header.shape) if name in UNNAMED]
        self.unnamed = [size for size in unnamed if size > 1] if self._fixed else []
        self._kept = [axis for axis in range(len(header.shape)) if axis not in self._fixed]
        self.shape = tuple(header.shape[axis] for axis in self._kept)
        self._patch: Patch | None = None

    def middle(self, edge: int) -> "Pixels":
        """The square patch in the middle of y and x; all of what is smaller than its edge, pixels."""
        found = copy(self)
        found._patch = middle(self.shape, edge)
        found.shape = (*self.shape[:-2], *(side.stop - side.start for side in found._patch))
        return found

    def counts(self) -> "Pixels":
        """The same pixels as counts of 16 bit, whatever their type is in the file; see `as_counts`."""
        found = copy(self)
        found.dtype = np.dtype(np.uint16)
        return found

    @property
    def converted(self) -> bool:
        """Whether they are of another type in the file."""
        return self.dtype != self.stored

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
            InputError: The file is damaged, or holds no counts where they are to be converted to these.
        """
        if self._patch:  # whole slices are read, as most formats keep them together
            given = _each_axis(part)
            first, rest = given[: self.ndim - 2], given[self.ndim - 2 :]
            y, x = self._patch
            return self._read(first or ...)[..., y, x][(..., *rest, *[slice(None)] * (2 - len(rest)))]
        return self._read(part)

    def _read(self, part: Index) -> np.ndarray:
        found = _format_of(self.path).read_part(self.path, self._in_file(part) if self._fixed else part)
        return as_counts(found, self.path) if self.converted else found

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All pixels."""
        return self[...].astype(dtype or self.dtype, copy=False)

    def _in_file(self, part: Index) -> tuple[int | slice, ...]:
        """The same part as an index of the whole file."""
        given = _each_axis(part)
        given += (slice(None),) * (len(self._kept) - len(given))
        by_axis = {**self._fixed, **dict(zip(self._kept, given))}
        return tuple(by_axis[axis] for axis in sorted(by_axis))


def _each_axis(part: Index) -> tuple[int | slice, ...]:
    """What is indexed of the first axes."""
    if isinstance(part, EllipsisType):
        return ()
    return part if isinstance(part, tuple) else (part,)


def middle(shape: tuple[int, ...], edge: int) -> Patch:
    """Where the square patch in the middle of y and x is, the last two axes of a shape."""
    y, x = (slice(max(0, (side - edge) // 2), max(0, (side - edge) // 2) + min(edge, side)) for side in shape[-2:])
    return y, x


def read_header(path: Path) -> Header:
    """What the header of an image file says, without reading pixels where the format allows that.

    Raises:
        InputError: The file is damaged.
    """
    return _format_of(path).read_header(path)


def spacing_um(path: Path) -> dict[str, float]:
    """Size of a pixel by axis (Z, Y, X), micrometres, as far as the file says it."""
    if path.is_dir():
        return zarr_levels.spacing_um(path)
    return tiff.spacing_um(path) if path.suffix.lower() in TIFF_SUFFIXES else {}


def count_times(path: Path, ndim: int, channel: int | None = None) -> int | None:
    """Number of time points in a file; `None` if it is one frame.

    Args:
        path: Image file.
        ndim: Axes of a frame: 2 (y, x) or 3 (z, y, x).
        channel: The channel that is read.

    Raises:
        InputError: The file is damaged.
    """
    header = read_header(path)
    time = _parts(path, header, ndim, channel).time
    return None if time is None else header.shape[time]


def open_labels(path: Path, ndim: int, t: int | None = None) -> Pixels:
    """Open labels without reading pixels; whether they are labels, and fit their frame, is checked elsewhere.

    Args:
        path: Image file.
        ndim: Axes of the labels: 2 (y, x) or 3 (z, y, x).
        t: Time point of a file with several.

    Raises:
        InputError: The file is damaged.
    """
    header = read_header(path)
    parts = _parts(path, header, ndim, None)
    return Pixels(path, header, _at(parts, t) if len(header.shape) > ndim else {}, colour=parts.colour)


def open_frame(path: str | Path, ndim: int, channel: int | None = None, t: int | None = None) -> Pixels:
    """Open a frame without reading its pixels.

    Args:
        path: Image file.
        ndim: Axes of the frame: 2 (y, x) or 3 (z, y, x).
        channel: Which channel of several, from 0.
        t: Which time point of several, from 0.

    Returns:
        Its counts, uint8 or uint16, (y, x) or (z, y, x), read when they are indexed.

    Raises:
        InputError: The file is damaged, or holds no single channel of numbers with `ndim` axes.
    """
    path = Path(path)
    header = read_header(path)
    parts = _parts(path, header, ndim, channel)
    pixels = Pixels(path, header, _at(parts, t))
    if parts.colour:
        raise _several_channels(path, header)
    if header.dtype.kind not in KINDS:
        raise InputError(
            "A frame does not hold camera counts",
            where=path,
            found=f"pixels of type {header.dtype}",
            expected="uint8 or uint16",
            fix="write the counts as an unsigned 8 or 16 bit TIFF",
        )
    if pixels.ndim != ndim:
        raise InputError(
            f"A {pixels.ndim}D frame in a data set that is declared {ndim}D",
            where=path,
            found=f"shape {header.shape}",
            expected="(z, y, x)" if ndim == 3 else "(y, x)",
            fix="correct voxel_size_um (two values for 2D, three for 3D), or the frame",
        )
    return pixels if header.dtype in (np.uint8, np.uint16) else pixels.counts()


@dataclass(frozen=True)
class _Parts:
    """What the axes of a file are beside those of a frame.

    Attributes:
        fixed: Where along such an axis the frame is, by the number of the axis.
        time: Number of the axis along which frames follow each other; `None` if there is none.
        colour: Whether several channels are left, of which none was chosen.
    """

    fixed: dict[int, int]
    time: int | None
    colour: bool


def _parts(path: Path, header: Header, ndim: int, channel: int | None) -> _Parts:
    """Tell the axes of a frame from those of channels, of time, and of length one."""
    fixed: dict[int, int] = {}

    def first(names: str) -> int | None:
        left = (axis for axis, name in enumerate(header.axes) if name in names and axis not in fixed)
        return next(left, None)

    def excess() -> int:
        return len(header.axes) - len(fixed) - ndim

    single = [axis for axis, name in enumerate(header.axes) if header.shape[axis] == 1 and name not in "YX"]
    for number in sorted(single, key=lambda axis: "CSTIQ".find(header.axes[axis]) % 6):
        if excess() > 0:
            fixed[number] = 0
    if channel is not None:
        axis = first("CS")
        if axis is None and excess() > 0:
            axis = first(UNNAMED)
        if channel >= (1 if axis is None else header.shape[axis]):
            raise _no_such_channel(path, header, channel, axis)
        if axis is not None:
            fixed[axis] = channel
    # A stack of three slices whose file does not say so is taken for planes of colour.
    colour = first("S") is not None and not (header.axes[0] == "S" and ndim == 3 and excess() == 0)
    colour = colour or (first("C") is not None and excess() > 0)
    time = first("T" + UNNAMED) if excess() == 1 and not colour else None
    return _Parts(fixed, time, colour)


def _at(parts: _Parts, t: int | None) -> dict[int, int]:
    """Where the frame of a time point is along the axes that are none of its own."""
    return parts.fixed if t is None or parts.time is None else {**parts.fixed, parts.time: t}


def _format_of(path: Path) -> _Format:
    if path.is_dir():
        return ZARR
    if path.name.lower().endswith(SEG_SUFFIX):
        return SEG_NPY
    return PICTURE if path.suffix.lower() in pictures.SUFFIXES else TIFF


def _several_channels(path: Path, header: Header) -> InputError:
    axis = header.axes.index("S") if header.colour else header.axes.index("C")
    count, last = header.shape[axis], header.shape[axis] - 1
    kind = f"{count} colour samples a pixel" if header.colour else f"{count} channels"
    return InputError(
        "A frame is a colour image" if header.colour else "A frame has several channels",
        where=path,
        found=f"{kind}, shape {header.shape}",
        expected="one channel",
        fix=f"choose one in the data set's entry, e.g. `channel: 0` (0 to {last}), or write one channel, or the grey "
        "values, as an 8 or 16 bit TIFF",
    )


def _no_such_channel(path: Path, header: Header, channel: int, axis: int | None) -> InputError:
    count = 1 if axis is None else header.shape[axis]
    return InputError(
        "A frame does not have the channel that is asked for",
        where=path,
        found=f"{count} channel{'s' * (count > 1)}, shape {header.shape}, axes {header.axes}",
        expected=f"channel {channel}, counted from 0",
        fix=f"set channel to a number from 0 to {count - 1} in the data set's entry, or leave it out",
    )
