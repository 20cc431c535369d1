"""What a folder of images and masks holds: its layout, its frames, its cells, and the size of its pixels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from cellcascade.config.datasets import TEST_SHARE
from cellcascade.core.errors import InputError
from cellcascade.data import ctc
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.ctc import missing_folder
from cellcascade.data.layouts import nnunet, ome_zarr
from cellcascade.data.layouts.archives import archive_of, unpacked
from cellcascade.data.layouts.choosing import FINDERS, locate
from cellcascade.data.layouts.pairs import Wanted
from cellcascade.data.pixels import read_header, spacing_um
from cellcascade.data.recording import Recording
from cellcascade.intake.measures import Cells, are_foreground, contrast, frame_shapes, measure

MOST_CHANNELS = 16
TYPICAL_UM = 10.0  # width of a cell where files do not say how large their pixels are
PLAUSIBLE_UM = (0.5, 200.0)  # widths of cells
SPLIT_FROM = 3  # annotated frames from which on some are kept for tests


@dataclass(frozen=True)
class Look:
    """What a data set's folder holds.

    Attributes:
        path: The folder or archive as it was given.
        recording: All its annotated frames; of `ctc`, those of the sequence to learn from.
        frames: These frames.
        shapes: How many of them have which shape, ([z,] y, x).
        dtype: Type of the counts.
        cells: Their annotated cells.
        channels: The channels to choose from, with the contrast of each; empty where there is nothing to choose.
        voxel_source: Where the size of the pixels is from: `given`, `files` or `guess`.
        test_sequence: `ctc`: the sequence kept for tests.
        test_frames: Number of annotated frames that are kept for tests.
    """

    path: Path
    recording: Recording
    frames: list[AnnotatedFrame]
    shapes: Counter[tuple[int, ...]]
    dtype: str
    cells: Cells
    channels: dict[int, float]
    voxel_source: Literal["given", "files", "guess"]
    test_sequence: str | None
    test_frames: int

    @property
    def extent(self) -> tuple[float, ...]:
        """Size of most frames, ([z,] y, x), pixels of the plane on all axes."""
        shape = self.shapes.most_common(1)[0][0]
        return tuple(size * scale for size, scale in zip(shape, (self.recording.anisotropy, 1.0, 1.0)[-len(shape) :]))

    @property
    def is_ctc(self) -> bool:
        """Whether it is a folder of the Cell Tracking Challenge."""
        return self.recording.layout == "ctc"


def look(
    path: Path,
    voxel_size_um: Sequence[float] | None = None,
    channel: int | None = None,
    ignore_label: int | None = None,
) -> Look:
    """Look at a folder of images and masks, or at an archive of it.

    Args:
        path: The folder or archive.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres; `None`: as the files say, or else a guess.
        channel: Channel of the frames; `None`: the one in which cells and background differ most.
        ignore_label: Number in the annotations that marks what nobody annotated; `None` if all is.

    Raises:
        InputError: The folder cannot be read, or holds no annotated cell.
    """
    if not path.is_dir() and archive_of(path) is None:
        raise _nothing_there(path)
    recording, channels = _channel_chosen(path, channel, ignore_label)
    if voxel_size_um:
        recording = replace(recording, voxel_size_um=_checked_size(voxel_size_um, recording))
    frames = recording.checked_frames()
    recording = replace(recording, split_labels=are_foreground(recording, frames))
    cells = measure(recording, frames)
    if not len(cells.areas):
        raise _no_cells(recording, len(frames))
    source: Literal["given", "files", "guess"] = "given"
    if not voxel_size_um:
        recording, source = _sized(recording, frames, cells)
    test_sequence, tests = _kept_for_tests(recording, frames)
    dtype = recording.read_image(frames[0]).dtype.name
    shapes = frame_shapes(recording, frames)
    return Look(path, recording, frames, shapes, dtype, cells, channels, source, test_sequence, tests)


def _channel_chosen(path: Path, channel: int | None, ignore: int | None) -> tuple[Recording, dict[int, float]]:
    """The recording of a folder, in the channel that shows the cells best, and the contrast of each channel."""
    problem: InputError | None = None
    for wanted in _candidates(path, channel):
        try:
            recording = replace(_recording(path, wanted), ignore_label=ignore)
            found = contrast(recording, recording.frames()[0])
        except InputError as error:
            problem = error  # the last one: those before it may say that a choice is needed, which was made since
            continue
        if wanted.labels and not recording.read_labels(recording.frames()[0]).any():
            continue  # of several labels, those without cells
        if wanted.channel is None or channel is not None:
            return recording, {}
        contrasts = {wanted.channel: found, **_contrasts(path, wanted, ignore)}
        best = max(contrasts, key=lambda number: contrasts[number])
        return replace(recording, channel=best), contrasts
    raise problem or missing_folder(path)


def _candidates(path: Path, channel: int | None) -> Iterator[Wanted]:
    """What of the files might be read: where a choice is needed, nothing can be read without one."""
    archive = archive_of(path)
    names = ome_zarr.names_of(unpacked(archive) if archive else path)
    for number in () if len(names) > 1 else (None, 0) if channel is None else (channel,):
        yield Wanted(number)
    for name in names:
        for number in (None, 0) if channel is None else (channel,):
            yield Wanted(number, name)


def _contrasts(path: Path, wanted: Wanted, ignore: int | None) -> dict[int, float]:
    """The contrast of each channel beyond the first."""
    found: dict[int, float] = {}
    for number in range(1, MOST_CHANNELS):
        try:
            recording = replace(_recording(path, replace(wanted, channel=number)), ignore_label=ignore)
            found[number] = contrast(recording, recording.frames()[0])
        except InputError:
            break
    return found


def _recording(path: Path, wanted: Wanted) -> Recording:
    """All annotated frames of a folder, or of its first annotated sequence; sizes are not known yet."""
    folder, layout = locate(path, "auto", wanted)
    if layout != "ctc":
        labels = FINDERS[layout](folder, wanted)[0].labels
        unit = (1.0,) * _ndim(labels)
        return Recording(folder, "all", "GT", unit, layout=layout, channel=wanted.channel, labels=wanted.labels)
    problems = []
    for sequence in ctc.sequences(folder):
        for kind in ("ST", "GT"):
            found, problem = ctc.find(folder, sequence, kind)
            if found:
                ndim = 3 if found[0].z is not None else _ndim(found[0].labels)
                return Recording(folder, sequence, kind, (1.0,) * ndim, channel=wanted.channel)
            problems += problem
    raise problems[0] if problems else missing_folder(folder)


def _ndim(labels: Path) -> int:
    """Axes of a frame by its labels: 3 where they are stacks. Labels have no channels."""
    header = read_header(labels)
    left = [name for name, size in zip(header.axes, header.shape) if size > 1 and name != "T"]
    return min(max(len(left), 2), 3)


def _checked_size(size_um: Sequence[float], recording: Recording) -> tuple[float, ...]:
    """A size as it was given, of as many axes as the frames have; one number counts for both axes of a plane."""
    size = tuple(size_um) * 2 if len(size_um) == 1 and recording.ndim == 2 else tuple(size_um)
    if len(size) not in (2, 3) or min(size) <= 0:
        raise InputError(
            "The size of the pixels does not fit the frames",
            where=recording.folder,
            found=" ".join(f"{value:g}" for value in size_um),
            expected="numbers above 0: y and x, or z, y and x for stacks",
            fix="correct --voxel-size, or leave it out",
        )
    return size


def _sized(
    recording: Recording, frames: Sequence[AnnotatedFrame], cells: Cells
) -> tuple[Recording, Literal["files", "guess"]]:
    """The recording with the size of its pixels: as the files say, or by round cells of a typical width."""
    said = nnunet.spacing_um(frames[0].image) if recording.layout == "nnunet" else {}
    said = said or spacing_um(frames[0].image)
    axes, width = "ZYX"[-recording.ndim :], float(np.median(cells.diameters[cells.fitting]))
    if not PLAUSIBLE_UM[0] < width * said.get("X", 0) < PLAUSIBLE_UM[1]:
        said = {}  # the resolution of a screen or a printer
    if all(said.get(axis, 0) > 0 for axis in axes):
        return replace(recording, voxel_size_um=tuple(_rounded(said[axis]) for axis in axes)), "files"
    plane = _rounded(said.get("X", 0) or TYPICAL_UM / width)
    height = float(np.median(cells.heights[cells.fitting]))
    size = {"Z": _rounded(said.get("Z", 0) or max(plane * width / height, plane)), "Y": plane, "X": plane}
    return replace(recording, voxel_size_um=tuple(size[axis] for axis in axes)), "guess"


def _rounded(size_um: float) -> float:
    """A size in three digits."""
    return float(f"{size_um:.3g}")


def _kept_for_tests(recording: Recording, frames: Sequence[AnnotatedFrame]) -> tuple[str | None, int]:
    """The sequence that is kept for tests, if there is a second one, and the number of frames that are."""
    if recording.layout == "ctc":
        for sequence in ctc.sequences(recording.folder):
            other = replace(recording, sequence=sequence)
            found = {item.frame for kind in ("ST", "GT") for item in ctc.find(other.folder, sequence, kind)[0]}
            if sequence != recording.sequence and found:
                return sequence, len(found)
    elif any(pair.part == "test" for pair in FINDERS[recording.layout](recording.folder, _wanted(recording))):
        return None, len(replace(recording, part="test").frames())
    if len({item.frame for item in frames}) < SPLIT_FROM:
        return None, 0
    return None, len({item.frame for item in replace(recording, part="test", test_share=TEST_SHARE).frames()})


def _wanted(recording: Recording) -> Wanted:
    return Wanted(recording.channel, recording.labels)


def _nothing_there(path: Path) -> InputError:
    return InputError(
        "There is no such folder",
        where=path.absolute(),
        found="nothing" if path.parent.is_dir() else f"not even {path.parent.absolute()}",
        expected="a folder of images and masks, or a zip archive of one",
        fix="correct the path",
    )


def _no_cells(recording: Recording, frames: int) -> InputError:
    return InputError(
        "No cell is annotated",
        where=recording.annotation_folder,
        found=f"masks of {frames} frames, all of them empty where they were looked at",
        expected="0 for what is no cell, and a number of its own for each cell",
        fix="annotate some cells, or give the folder whose masks hold them",
    )
