"""Cell Tracking Challenge folders: annotated frames, found by their annotation files. Free of torch.

A data set folder holds `01/t000.tif` (frames), `01_ST/SEG/man_seg000.tif` (silver truth) and
`01_GT/SEG/man_seg000.tif` (gold truth). Sparse 3D gold truth annotates single slices:
`man_seg_TTT_ZZZ.tif` is slice ZZZ (from 0) of frame TTT. There are more frames than annotations. Numbers of two to five
digits are read as well, and names that end in `.TIF`, `.tiff`, `.png` or `.jp2`.
"""

import re
from pathlib import Path

from cellcascade.core.errors import InputError
from cellcascade.data.annotated import AnnotatedFrame

IMAGE = r"\.(?i:tiff?|png|jp2)"  # suffixes of frames and annotations
FRAME = re.compile(rf"t(\d{{2,5}}){IMAGE}")
SEQUENCE = re.compile(r"\d\d(_ST|_GT)?")
LABELS = re.compile(rf"man_seg(\d{{2,5}}){IMAGE}|man_seg_(\d{{2,5}})_(\d{{2,5}}){IMAGE}")


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


def annotation_folder(folder: Path, sequence: str, annotations: str) -> Path:
    """Folder of a sequence's annotation files."""
    return folder / f"{sequence}_{annotations}" / "SEG"


def sequences(folder: Path) -> list[str]:
    """Sequences of a folder: those with frames or with a folder of annotations; none if it is of another layout."""
    below = [path for path in folder.iterdir() if path.is_dir() and SEQUENCE.fullmatch(path.name)]
    return sorted({path.name[:2] for path in below if "_" in path.name or _matches(path, FRAME)})


def find(folder: Path, sequence: str, annotations: str) -> tuple[list[AnnotatedFrame], list[InputError]]:
    """Annotated frames of a sequence by its annotation files, and what hinders finding them.

    Args:
        folder: The data set's folder.
        sequence: Sequence, e.g. `"01"`.
        annotations: `"ST"` (silver truth) or `"GT"` (gold truth).
    """
    if not folder.is_dir():
        return [], [missing_folder(folder)]
    labels = annotation_folder(folder, sequence, annotations)
    images, problems = _numbered(folder / sequence)
    if not images:
        return [], [_nothing_there(folder / sequence, "The sequence has no frames", "frames t000.tif, t001.tif, ...")]
    files = _matches(labels, LABELS)
    if not files:
        others = [name for name in ("ST", "GT") if _matches(annotation_folder(folder, sequence, name), LABELS)]
        fix = f"set annotations: {others[0]}, there are some of these; or " if others else ""
        what = f"None of the {len(images)} frames of sequence {sequence} has an annotation"
        return [], [_nothing_there(labels, what, "annotations man_seg000.tif or man_seg_000_000.tif", fix)]
    found: dict[tuple[int, int], AnnotatedFrame] = {}
    for path, match in files:
        frame, z = int(match[1] or match[2]), int(match[3]) if match[3] else None
        key = frame, -1 if z is None else z
        if frame not in images:
            problems.append(_no_image(path, folder / sequence, match[1] or match[2], len(images)))
        elif key in found:
            problems.append(_same_number(path, found[key].labels))
        else:
            found[key] = AnnotatedFrame(frame, images[frame], path, z)
    return [found[key] for key in sorted(found)], problems


def _numbered(folder: Path) -> tuple[dict[int, Path], list[InputError]]:
    """Frames by their numbers, and those of which there are two with one number."""
    images: dict[int, Path] = {}
    problems = []
    for path, match in _matches(folder, FRAME):
        if (number := int(match[1])) in images:
            problems.append(_same_number(path, images[number]))
        images.setdefault(number, path)
    return images, problems


def _matches(folder: Path, pattern: re.Pattern) -> list[tuple[Path, re.Match]]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [(path, match) for path in paths if (match := pattern.fullmatch(path.name))]


def _nothing_there(folder: Path, what: str, expected: str, fix: str = "") -> InputError:
    others = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    nothing = "an empty folder" if folder.is_dir() else "no such folder"
    found = f"{len(others)} others: {', '.join(others[:3])}, ..." if others else nothing
    fix += "use the training data of the data set, and check the sequence and the names of the files (2 to 5 digits)"
    return InputError(what, where=folder.absolute(), found=found, expected=expected, fix=fix)


def _no_image(labels: Path, folder: Path, number: str, count: int) -> InputError:
    return InputError(
        "An annotation has no frame",
        where=labels,
        found=f"{count} frames in {folder}, none with number {int(number)}",
        expected=folder / f"t{number}.tif",
        fix="add the frame, or remove the annotation",
    )


def _same_number(path: Path, other: Path) -> InputError:
    return InputError(
        "Two files have the same number",
        where=path,
        found=f"{path.name} beside {other.name}",
        expected="one file for each frame, and one annotation",
        fix="remove one of the two",
    )
