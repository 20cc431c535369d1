"""Cell Tracking Challenge folders: annotated frames, found by their annotation files. Free of torch.

A data set folder holds `01/t000.tif` (frames), `01_ST/SEG/man_seg000.tif` (silver truth) and
`01_GT/SEG/man_seg000.tif` (gold truth); three or four digits. Sparse 3D gold truth annotates single slices:
`man_seg_TTT_ZZZ.tif` is slice ZZZ (from 0) of frame TTT. There are more frames than annotations.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.tiff import Header, Index, Pixels, read_frame_header, read_header

FRAME = re.compile(r"t(\d{3,4})\.tif")
LABELS = re.compile(r"man_seg(\d{3,4})\.tif|man_seg_(\d{3,4})_(\d{3,4})\.tif")


@dataclass(frozen=True)
class AnnotatedFrame:
    """An annotation file and the frame it belongs to.

    Attributes:
        frame: Number of the frame in its sequence.
        image: File of the frame.
        labels: File of the annotation.
        z: Annotated slice, from 0; `None` if the annotation covers the whole frame.
        cut: Whether the slice is one of an annotation of the whole frame, of which only some slices are used.
    """

    frame: int
    image: Path
    labels: Path
    z: int | None
    cut: bool = False


def missing_folder(folder: str | Path) -> InputError:
    """The error for a data set whose folder is not there: where it was looked for, and how to get it."""
    folder = Path(folder)
    return InputError(
        f"The data set {folder.name} is not there",
        where=folder.absolute(),
        found="no such folder" if folder.parent.is_dir() else f"neither it nor {folder.parent.absolute()}",
        expected=f"a Cell Tracking Challenge folder with frames such as {folder.name}/01/t000.tif",
        fix=f"download the training data of {folder.name} from https://celltrackingchallenge.net (Data sets), unzip "
        f"it into {folder.parent.absolute()}, or say where it is with --config data_root=PATH",
    )


def annotated_frames(
    folder: str | Path,
    sequence: str,
    annotations: str,
    frames: int | Sequence[int] | None = None,
    slices: int | Sequence[int] | None = None,
) -> list[AnnotatedFrame]:
    """Find the annotated frames of a sequence by walking its annotation files.

    Args:
        folder: The data set's folder.
        sequence: Sequence, e.g. `"01"`.
        annotations: `"ST"` (silver truth) or `"GT"` (gold truth).
        frames: Only these: a count, spread evenly over the annotated frames, or their numbers; `None` for all.
        slices: Of each stack only these annotated slices: a count, spread evenly over them, or their numbers.

    Returns:
        Annotated frames in the order of frame and slice.

    Raises:
        InputError: A folder is missing, nothing is annotated, an annotation lacks its frame, or a frame or slice that
            is asked for is not annotated.
    """
    found, problems = _pair(Path(folder), sequence, annotations)
    _raise(problems, annotation_folder(Path(folder), sequence, annotations))
    return _chosen(found, frames, slices, annotation_folder(Path(folder), sequence, annotations))


def check_sequence(
    folder: str | Path,
    sequence: str,
    annotations: str,
    ndim: int,
    frames: int | Sequence[int] | None = None,
    slices: int | Sequence[int] | None = None,
) -> list[AnnotatedFrame]:
    """Check every annotated frame of a sequence by the headers of its files, without reading pixels.

    Args:
        folder: The data set's folder.
        sequence: Sequence, e.g. `"01"`.
        annotations: `"ST"` (silver truth) or `"GT"` (gold truth).
        ndim: Axes of a frame: 2 (y, x) or 3 (z, y, x).
        frames: Only these, see `annotated_frames`.
        slices: Only these, see `annotated_frames`.

    Returns:
        The annotated frames, as `annotated_frames` gives them.

    Raises:
        InputError: With every problem of the sequence at once.
    """
    found, problems = _pair(Path(folder), sequence, annotations)
    headers: dict[Path, Header] = {}
    first: Path | None = None
    for item in found:
        try:
            if item.image not in headers:
                headers[item.image] = read_frame_header(item.image, ndim)
                first = first or item.image
                _check_same(item.image, headers[item.image], first, headers[first])
        except InputError as error:
            problems.append(error)
        try:
            _check_labels(item, read_header(item.labels), headers.get(item.image), ndim)
        except InputError as error:
            problems.append(error)
    _raise(list({str(problem): problem for problem in problems}.values()), Path(folder) / sequence)
    return _chosen(found, frames, slices, annotation_folder(Path(folder), sequence, annotations))


def _chosen(
    found: list[AnnotatedFrame], frames: int | Sequence[int] | None, slices: int | Sequence[int] | None, where: Path
) -> list[AnnotatedFrame]:
    """The annotations of some frames, and of some slices of each."""
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


def _by_slice(annotations: Iterable[AnnotatedFrame]) -> dict[int, AnnotatedFrame]:
    """The annotations of one frame by their slices; one that covers the whole frame counts alone, slice by slice."""
    items = {item.z: item for item in annotations}
    if whole := items.get(None):
        return {z: replace(whole, z=z, cut=True) for z in range(read_header(whole.image).shape[0])}
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


def count_slices(annotated: Sequence[AnnotatedFrame]) -> int:
    """Number of annotated slices of stacks: all of a stack that is annotated as a whole."""
    return sum(1 if item.z is not None else read_header(item.image).shape[0] for item in annotated)


def open_frame(path: str | Path, ndim: int) -> Pixels:
    """Open a frame without reading its pixels.

    Args:
        path: TIFF file.
        ndim: Axes the file must have: 2 (y, x) or 3 (z, y, x).

    Returns:
        Its counts, uint8 or uint16, (y, x) or (z, y, x), read when they are indexed.

    Raises:
        InputError: The file is no such frame, or damaged.
    """
    return Pixels(Path(path), read_frame_header(Path(path), ndim))


def read_annotated(annotated: AnnotatedFrame, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a frame and its labels; of an annotated slice, that slice alone is read.

    Args:
        annotated: One of `annotated_frames`.
        ndim: Axes of the data set's frames: 2 or 3.

    Returns:
        Counts and labels (uint16, 0 is unlabelled), both (y, x) or (z, y, x); both (y, x) for an annotated slice.

    Raises:
        InputError: A file is damaged, of the wrong type, or the two do not fit together.
    """
    labels = read_labels(annotated, ndim)
    return open_frame(annotated.image, ndim)[... if annotated.z is None else annotated.z], labels


def read_labels(annotated: AnnotatedFrame, ndim: int) -> np.ndarray:
    """Read the labels of a frame, or of its annotated slice, without its counts.

    Args:
        annotated: One of `annotated_frames`.
        ndim: Axes of the data set's frames: 2 or 3.

    Returns:
        Labels (uint16, 0 is unlabelled), (y, x) or (z, y, x); (y, x) for an annotated slice.

    Raises:
        InputError: A file is damaged, of the wrong type, or the two do not fit together.
    """
    header = read_header(annotated.labels)
    _check_labels(annotated, header, read_frame_header(annotated.image, ndim), ndim)
    part: Index = annotated.z if annotated.cut and annotated.z is not None else ...
    labels = Pixels(annotated.labels, header)[part]
    if labels.min() < 0 or labels.max() > np.iinfo(np.uint16).max:
        raise InputError(
            "An annotation holds numbers that are no labels",
            where=annotated.labels,
            found=f"values from {labels.min()} to {labels.max()}",
            expected="0 for what is no cell, 1 to 65535 for cells",
            fix="number the cells anew and write them as a 16 bit TIFF",
        )
    return labels.astype(np.uint16, copy=False)


def annotation_folder(folder: Path, sequence: str, annotations: str) -> Path:
    """Folder of a sequence's annotation files."""
    return folder / f"{sequence}_{annotations}" / "SEG"


def _pair(folder: Path, sequence: str, annotations: str) -> tuple[list[AnnotatedFrame], list[InputError]]:
    """Annotated frames, and what hinders finding them."""
    if not folder.is_dir():
        return [], [missing_folder(folder)]
    labels = annotation_folder(folder, sequence, annotations)
    images = {int(match[1]): path for path, match in _matches(folder / sequence, FRAME)}
    if not images:
        return [], [_nothing_there(folder / sequence, "The sequence has no frames", "frames t000.tif, t001.tif, ...")]
    files = _matches(labels, LABELS)
    if not files:
        others = [name for name in ("ST", "GT") if _matches(annotation_folder(folder, sequence, name), LABELS)]
        fix = f"set annotations: {others[0]}, there are some of these; or " if others else ""
        what = f"None of the {len(images)} frames of sequence {sequence} has an annotation"
        return [], [_nothing_there(labels, what, "annotations man_seg000.tif or man_seg_000_000.tif", fix)]
    found, problems = [], []
    for path, match in files:
        frame, z = int(match[1] or match[2]), int(match[3]) if match[3] else None
        if frame in images:
            found.append(AnnotatedFrame(frame, images[frame], path, z))
        else:
            problems.append(_no_image(path, folder / sequence, match[1] or match[2], len(images)))
    return sorted(found, key=lambda item: (item.frame, -1 if item.z is None else item.z)), problems


def _matches(folder: Path, pattern: re.Pattern) -> list[tuple[Path, re.Match]]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [(path, match) for path in paths if (match := pattern.fullmatch(path.name))]


def _nothing_there(folder: Path, what: str, expected: str, fix: str = "") -> InputError:
    others = sorted(path.name for path in folder.iterdir())[:3] if folder.is_dir() else []
    found = f"{', '.join(others)}, ..." if others else "an empty folder" if folder.is_dir() else "no such folder"
    fix += "use the training data of the data set, and check the sequence and the names of the files (3 or 4 digits)"
    return InputError(what, where=folder.absolute(), found=found, expected=expected, fix=fix)


def _no_image(labels: Path, folder: Path, number: str, count: int) -> InputError:
    return InputError(
        "An annotation has no frame",
        where=labels,
        found=f"{count} frames in {folder}, none with number {int(number)}",
        expected=folder / f"t{number}.tif",
        fix="add the frame, or remove the annotation",
    )


def _raise(problems: list[InputError], where: Path) -> None:
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
        expected="frames and annotations in the layout of the Cell Tracking Challenge",
        fix="; ".join(dict.fromkeys(p.fix for p in problems)),
    )


def _check_same(path: Path, header: Header, first: Path, of_first: Header) -> None:
    if (header.shape, header.dtype) != (of_first.shape, of_first.dtype):
        raise InputError(
            "A frame differs from the first one",
            where=path,
            found=f"shape {header.shape}, {header.dtype}",
            expected=f"shape {of_first.shape}, {of_first.dtype}, as {first.name}",
            fix="keep frames of one shape and type in a sequence; put the others into a data set of their own",
        )


def _no_such_slice(path: Path, z: int, header: Header) -> InputError:
    return InputError(
        "An annotation names a slice that its frame does not have",
        where=path,
        found=f"slice {z} (counted from 0)",
        expected=f"a slice from 0 to {header.shape[0] - 1}",
        fix="correct the slice number in the name of the annotation (man_seg_TTT_ZZZ.tif)",
    )


def _check_labels(item: AnnotatedFrame, labels: Header, image: Header | None, ndim: int) -> None:
    """Check the header of an annotation against its frame's; `image` is `None` where that is unusable."""
    if labels.colour or labels.dtype.kind not in "iu":
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
        return
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
