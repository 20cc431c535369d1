"""The annotated frames of a folder of pairs, numbered. Free of torch."""

from pathlib import Path
from typing import NamedTuple

from cellcascade.core.errors import InputError
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.ctc import missing_folder
from cellcascade.data.layouts.choosing import FINDERS
from cellcascade.data.layouts.pairs import Pair, Part, Wanted
from cellcascade.data.pixels import count_times


class Found(NamedTuple):
    """An annotated frame, and the part that its layout keeps it for."""

    annotated: AnnotatedFrame
    part: Part | None


def find_frames(folder: Path, layout: str, wanted: Wanted, ndim: int) -> tuple[list[Found], list[InputError]]:
    """Annotated frames in the order of their names, and what hinders finding them.

    Frames are numbered from 0; those of a file with several time points follow each other.

    Args:
        folder: The data set's folder.
        layout: Its layout.
        wanted: What of the files is read.
        ndim: Axes of a frame: 2 (y, x) or 3 (z, y, x).
    """
    if not folder.is_dir():
        return [], [missing_folder(folder)]
    found, problems = list[Found](), list[InputError]()
    for pair in FINDERS[layout](folder, wanted):
        channel = None if pair.one_channel else wanted.channel
        try:
            times = _times(pair, ndim, channel)
        except InputError as error:
            problems.append(error)
            continue
        for t in [None] if times is None else range(times):
            frame = AnnotatedFrame(len(found), pair.image, pair.labels, None, t=t, channel=channel)
            found.append(Found(frame, pair.part))
    return found, problems


def _times(pair: Pair, ndim: int, channel: int | None) -> int | None:
    """Number of time points of a pair; `None` where each file is a frame."""
    images = count_times(pair.image, ndim, channel)
    if images is None:
        return None
    labels = count_times(pair.labels, ndim)
    if images != labels:
        raise InputError(
            "A frame and its annotation differ in their number of time points",
            where=pair.labels,
            found=f"{labels or 'a single one'}",
            expected=f"{images}, as {pair.image}",
            fix="replace the one that does not belong to this data set, or correct voxel_size_um (two values for 2D, "
            "three for 3D)",
        )
    return images
