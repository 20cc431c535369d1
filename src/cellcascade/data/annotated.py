"""Annotated frames of any layout: which of them are used, what can be wrong with them, and their pixels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data import zarr_levels
from cellcascade.data.header import Index
from cellcascade.data.pixels import Pixels, open_frame, open_labels
from cellcascade.data.whole_numbers import as_labels

Choice = int | Sequence[int] | None


@dataclass(frozen=True)
class AnnotatedFrame:
    """An annotation and the frame it belongs to.

    Attributes:
        frame: Number of the frame in its recording.
        image: File of the frame; of OME-Zarr, the folder of the finest level's array.
        labels: File of the annotation, likewise.
        z: Annotated slice, from 0; `None` if the annotation covers the whole frame.
        cut: Whether the slice is one of an annotation of the whole frame, of which only some slices are used.
        t: Time point, from 0, where files hold several; `None` where a file is a frame.
        channel: Channel of the frame, from 0, where it has several.
    """

    frame: int
    image: Path
    labels: Path
    z: int | None
    cut: bool = False
    t: int | None = None
    channel: int | None = None

    @property
    def image_files(self) -> list[Path]:
        """All files that the frame is read from."""
        return _files_of(self.image)

    @property
    def files(self) -> list[Path]:
        """All files that the frame and its annotation are read from."""
        return [*self.image_files, *_files_of(self.labels)]


def choose(found: list[AnnotatedFrame], frames: Choice, slices: Choice, where: Path) -> list[AnnotatedFrame]:
    """The annotations of some frames, and of some slices of each.

    Args:
        found: All annotated frames, in the order of frame and slice.
        frames: Only these: a count, spread evenly over the annotated frames, or their numbers; `None` for all.
        slices: Of each stack only these annotated slices: a count, spread evenly over them, or their numbers.
        where: Where they are, for messages.

    Raises:
        InputError: A frame or slice that is asked for is not annotated.
    """
    if frames is not None:
        wanted = _wanted(sorted({item.frame for item in found}), frames, "frames", where)
        found = [item for item in found if item.frame in wanted]
    if slices is None:
        return found
    chosen = []
    for _, group in groupby(found, key=lambda item: item.frame):
        items = _by_slice(group)
        chosen += [items[z] for z in sorted(_wanted(sorted(items), slices, "slices", where))]
    return chosen


def check_headers(found: Iterable[AnnotatedFrame], ndim: int, *, one_shape: bool) -> list[InputError]:
    """Problems of annotated frames by the headers of their files.

    Pixels are read of the first frame, and of the first annotation, of an unusual type: only they tell what it holds.

    Args:
        found: Annotated frames.
        ndim: Axes of a frame: 2 (y, x) or 3 (z, y, x).
        one_shape: Whether all frames must have the shape of the first, as those of a film do.
    """
    problems, opened = list[InputError](), dict[tuple[Path, int | None], Pixels]()
    first: Pixels | None = None
    unusual = dict[str, Callable[[], np.ndarray]]()
    for item in found:
        key = item.image, item.t
        try:
            if key not in opened:
                image = opened[key] = open_frame(item.image, ndim, item.channel, item.t)
                if image.converted:
                    unusual.setdefault("counts", partial(image.__getitem__, ...))
                first = first or image
                _check_same(image, first, one_shape)
        except InputError as error:
            problems.append(error)
        try:
            labels = _check_labels(item, opened.get(key), ndim)
            if labels.dtype.kind == "f":
                unusual.setdefault("labels", partial(_read_numbers, item, ndim))
        except InputError as error:
            problems.append(error)
    for read in unusual.values():
        try:
            read()
        except InputError as error:
            problems.append(error)
    return list({str(problem): problem for problem in problems}.values())


def raise_all(problems: list[InputError], where: Path) -> None:
    """Raise the problem; several as one, a line each."""
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    lines = [f"{p.where}: {p.what}; found {p.found}; expected {p.expected}" for p in problems]
    raise InputError(
        f"The annotated frames have {len(problems)} problems",
        where=where,
        found="\n      - " + "\n      - ".join(lines),
        expected="frames and annotations that fit together",
        fix="; ".join(dict.fromkeys(p.fix for p in problems)),
    )


def count_slices(annotated: Sequence[AnnotatedFrame]) -> int:
    """Number of annotated slices of stacks: all of a stack that is annotated as a whole."""
    return sum(1 if item.z is not None else _open_stack(item).shape[0] for item in annotated)


def read_counts(annotated: AnnotatedFrame, ndim: int) -> np.ndarray:
    """Read the counts of a frame, or of its annotated slice alone.

    Args:
        annotated: An annotated frame.
        ndim: Axes of the data set's frames: 2 or 3.

    Returns:
        Counts, (y, x) or (z, y, x); (y, x) for an annotated slice.

    Raises:
        InputError: The file is damaged, or no frame.
    """
    image = open_frame(annotated.image, ndim, annotated.channel, annotated.t)
    return image[... if annotated.z is None else annotated.z]


def read_labels(annotated: AnnotatedFrame, ndim: int, ignore: int | None = None) -> np.ndarray:
    """Read the labels of a frame, or of its annotated slice, without its counts.

    Args:
        annotated: An annotated frame.
        ndim: Axes of the data set's frames: 2 or 3.
        ignore: The number that marks what nobody annotated; it counts as 0.

    Returns:
        Labels (uint16, 0 is unlabelled), (y, x) or (z, y, x); (y, x) for an annotated slice.

    Raises:
        InputError: A file is damaged, of the wrong type, or the two do not fit together.
    """
    labels = _read_numbers(annotated, ndim)
    if ignore is not None:
        labels[labels == ignore] = 0
    if labels.min() < 0 or labels.max() > np.iinfo(np.uint16).max:
        raise InputError(
            "An annotation holds numbers that are no labels",
            where=annotated.labels,
            found=f"values from {labels.min()} to {labels.max()}",
            expected="0 for what is no cell, 1 to 65535 for cells",
            fix="number the cells anew and write them as a 16 bit TIFF; or, if a number marks what nobody annotated, "
            "set ignore_label in the data set's entry, e.g. `ignore_label: -1`",
        )
    return labels.astype(np.uint16, copy=False)


def read_ignored(annotated: AnnotatedFrame, ndim: int, ignore: int) -> np.ndarray:
    """Where a frame, or its annotated slice, has the number that marks what nobody annotated: bool, as its labels.

    Raises:
        InputError: A file is damaged, of the wrong type, or the two do not fit together.
    """
    return _read_numbers(annotated, ndim) == ignore


def _read_numbers(annotated: AnnotatedFrame, ndim: int) -> np.ndarray:
    """The annotation of a frame, or of its annotated slice, as it is in its file; an array of its own."""
    pixels = _check_labels(annotated, open_frame(annotated.image, ndim, annotated.channel, annotated.t), ndim)
    part: Index = annotated.z if annotated.cut and annotated.z is not None else ...
    return as_labels(pixels[part], annotated.labels)


def _files_of(path: Path) -> list[Path]:
    return zarr_levels.files_of(path) if path.is_dir() else [path]


def _open_stack(item: AnnotatedFrame) -> Pixels:
    return open_frame(item.image, 3, item.channel, item.t)


def _by_slice(annotations: Iterable[AnnotatedFrame]) -> dict[int, AnnotatedFrame]:
    """The annotations of one frame by their slices; one that covers the whole frame counts alone, slice by slice."""
    items = {item.z: item for item in annotations}
    if whole := items.get(None):
        return {z: replace(whole, z=z, cut=True) for z in range(_open_stack(whole).shape[0])}
    return {z: item for z, item in items.items() if z is not None}


def _wanted(numbers: list[int], choice: int | Sequence[int], what: str, where: Path) -> set[int]:
    """`choice` of the numbers, spread evenly, or those that `choice` lists."""
    missing = [] if isinstance(choice, int) else sorted(set(choice) - set(numbers))
    if missing or (isinstance(choice, int) and choice > len(numbers)):
        raise InputError(
            f"There are fewer annotated {what} than train_{what} asks for",
            where=where,
            found=f"{len(numbers)}: {', '.join(map(str, numbers[:20]))}{', ...' * (len(numbers) > 20)}",
            expected=f"{what} {', '.join(map(str, missing))} among them" if missing else f"at least {choice}",
            fix=f"correct train_{what} in the data set's entry, or annotate more {what}",
        )
    return set(evenly_spaced(numbers, choice) if isinstance(choice, int) else choice)


def _check_same(image: Pixels, first: Pixels, one_shape: bool) -> None:
    of_planes = [f" of {'/'.join(map(str, item.unnamed))} planes" if item.unnamed else "" for item in (image, first)]
    if image.dtype != first.dtype or of_planes[0] != of_planes[1] or (one_shape and image.shape != first.shape):
        raise InputError(
            "A frame differs from the first one",
            where=image.path,
            found=f"shape {image.shape}{of_planes[0]}, {image.stored}",
            expected=f"shape {first.shape}{of_planes[1]}, {first.stored}, as {first.path.name}",
            fix="keep frames of one shape and type in a sequence; put the others into a data set of their own",
        )


def _check_labels(item: AnnotatedFrame, image: Pixels | None, ndim: int) -> Pixels:
    """Open an annotation and check its header against its frame's; `image` is `None` where that is unusable."""
    labels = open_labels(item.labels, ndim if item.z is None or item.cut else ndim - 1, item.t)
    if labels.colour or labels.dtype.kind not in "iufb":
        raise InputError(
            "An annotation does not hold integer labels",
            where=item.labels,
            found=f"{'colour, ' if labels.colour else ''}pixels of type {labels.dtype}",
            expected="an integer type, one number a cell, 0 for what is no cell",
            fix="write the labels as a 16 bit TIFF",
        )
    if item.z is not None and ndim == 2:
        raise InputError(
            "An annotated slice in a data set that is declared 2D",
            where=item.labels,
            found=f"the annotation of slice {item.z} of frame {item.frame}",
            expected=f"man_seg{item.frame:03d}.tif",
            fix="correct voxel_size_um (two values for 2D, three for 3D), or the name of the annotation",
        )
    if image is None:
        return labels
    if item.z is not None and item.z >= image.shape[0]:
        raise _no_such_slice(item.labels, item.z, image)
    expected = image.shape if item.z is None or item.cut else image.shape[1:]
    if labels.shape != expected:
        raise InputError(
            "A frame and its annotation differ in shape",
            where=item.labels,
            found=f"shape {labels.shape}",
            expected=f"shape {expected}, as {item.image}",
            fix="replace the one of the two that does not belong to this data set",
        )
    return labels


def _no_such_slice(path: Path, z: int, image: Pixels) -> InputError:
    return InputError(
        "An annotation names a slice that its frame does not have",
        where=path,
        found=f"slice {z} (counted from 0)",
        expected=f"a slice from 0 to {image.shape[0] - 1}",
        fix="correct the slice number in the name of the annotation (man_seg_TTT_ZZZ.tif)",
    )
