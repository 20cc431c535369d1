"""A recording: real frames that belong together, which of them are annotated, and the size of their pixels."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from cellcascade.config.datasets import Config, Dataset
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data import annotated, ctc
from cellcascade.data.annotated import AnnotatedFrame, Choice
from cellcascade.data.layouts.choosing import locate
from cellcascade.data.layouts.finding import find_frames
from cellcascade.data.layouts.pairs import Part, Wanted
from cellcascade.data.pieces import split
from cellcascade.data.pixels import Pixels, middle, open_frame


@dataclass(frozen=True)
class Recording:
    """Frames of a data set that are learned from, or kept for tests.

    Attributes:
        folder: The data set's folder.
        sequence: The sequence, e.g. `"01"`; where the layout knows none, `"train"` or `"test"`.
        annotations: `"ST"` (silver truth) or `"GT"` (gold truth); other layouts than `ctc` hold gold truth.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres; its length says whether the frames are 2D or 3D.
        chosen_frames: Only these annotated frames: a count, evenly spaced, or their numbers; `None` for all.
        chosen_slices: Of each stack only these annotated slices, likewise.
        patch: Of each frame only the square patch in the middle, of this edge, pixels; `None` for whole frames.
        layout: How its files are laid out, a name of `layouts.choosing` or `"ctc"`.
        part: Which part of the annotated frames it is, where they are divided; `None` for all.
        test_share: Share of the annotated frames in the part `"test"`, where the layout does not divide them.
        channel: Channel of the frames, from 0, where they have several.
        labels: Name of the labels, where images have several.
        split_labels: Whether each connected piece of a label is a cell of its own.
        ignore_label: Number in the annotations that marks what nobody annotated; `None` if all is.
    """

    folder: Path
    sequence: str
    annotations: str
    voxel_size_um: tuple[float, ...]
    chosen_frames: Choice = None
    chosen_slices: Choice = None
    patch: int | None = None
    layout: str = "ctc"
    part: Part | None = None
    test_share: float = 0.0
    channel: int | None = None
    labels: str | None = None
    split_labels: bool = False
    ignore_label: int | None = None

    @property
    def ndim(self) -> int:
        """Axes of a frame: 2 (y, x) or 3 (z, y, x)."""
        return len(self.voxel_size_um)

    @property
    def anisotropy(self) -> float:
        """Distance of slices over the size of a pixel; 1 in 2D."""
        return self.voxel_size_um[-self.ndim] / self.voxel_size_um[-1]

    @property
    def annotation_folder(self) -> Path:
        """Where the annotations are."""
        return ctc.annotation_folder(self.folder, self.sequence, self.annotations) if self._is_ctc else self.folder

    @property
    def has_annotations(self) -> bool:
        """Whether there are annotations of this kind."""
        return self.annotation_folder.is_dir() if self._is_ctc else self.annotations == "GT"

    def all_of(self, annotations: Literal["ST", "GT"]) -> "Recording":
        """The same frames with all their annotations of one kind."""
        return replace(self, annotations=annotations, chosen_frames=None, chosen_slices=None, patch=None)

    def frames(self) -> list[AnnotatedFrame]:
        """The annotated frames, in the order of frame and slice.

        Raises:
            InputError: A folder is missing, nothing is annotated, an annotation lacks its frame, or a frame or slice
                that is asked for is not annotated.
        """
        found, problems = self._found()
        annotated.raise_all(problems, self.annotation_folder)
        return self._chosen(found)

    def checked_frames(self) -> list[AnnotatedFrame]:
        """The annotated frames, each checked by the headers of its files, without reading pixels.

        Raises:
            InputError: With every problem of the recording at once.
        """
        found, problems = self._found()
        problems += annotated.check_headers(found, self.ndim, one_shape=self._is_ctc)
        annotated.raise_all(problems, self.folder / self.sequence if self._is_ctc else self.folder)
        return self._chosen(found)

    def read(self, frame: AnnotatedFrame) -> tuple[np.ndarray, np.ndarray]:
        """Counts and labels (uint16, 0 is unlabelled) of an annotated frame, or of its annotated slice alone.

        Raises:
            InputError: A file is damaged, of the wrong type, or the two do not fit together.
        """
        labels = self.read_labels(frame)
        return self._within(annotated.read_counts(frame, self.ndim)), labels

    def read_labels(self, frame: AnnotatedFrame) -> np.ndarray:
        """The labels that `read` gives, without the counts.

        Raises:
            InputError: A file is damaged, of the wrong type, or the two do not fit together.
        """
        labels = annotated.read_labels(frame, self.ndim, self.ignore_label)
        return self._within(split(labels, frame.labels) if self.split_labels else labels)

    def read_ignored(self, frame: AnnotatedFrame) -> np.ndarray | None:
        """Where nobody annotated a frame (bool, as its labels), or its annotated slice; `None` if all is annotated.

        Raises:
            InputError: A file is damaged, of the wrong type, or the two do not fit together.
        """
        if self.ignore_label is None:
            return None
        ignored = self._within(annotated.read_ignored(frame, self.ndim, self.ignore_label))
        return ignored if ignored.any() else None

    def read_image(self, frame: AnnotatedFrame) -> Pixels:
        """Counts of the frame, ([z,] y, x), with all its slices also where only some are annotated.

        Nothing is read before it is indexed: `[z]` reads a slice, `[...]` the whole frame.

        Raises:
            InputError: The file is no such frame, or damaged.
        """
        image = open_frame(frame.image, self.ndim, frame.channel, frame.t)
        return image.middle(self.patch) if self.patch else image

    def count_cells(self) -> int:
        """Number of annotated cells in the frames; one that several slices of a stack show counts once."""
        return len(
            {(item.frame, label) for item in self.frames() for label in np.unique(self.read_labels(item)) if label}
        )

    def _within(self, pixels: np.ndarray) -> np.ndarray:
        """The patch of a frame's counts or labels that counts."""
        if self.patch is None:
            return pixels
        y, x = middle(pixels.shape, self.patch)
        return pixels[..., y, x]

    @property
    def _is_ctc(self) -> bool:
        return self.layout == "ctc"

    def _found(self) -> tuple[list[AnnotatedFrame], list[InputError]]:
        """The annotated frames of this part, and what hinders finding them."""
        if self._is_ctc:
            found, problems = ctc.find(self.folder, self.sequence, self.annotations)
            found = [replace(item, channel=self.channel) for item in found]
            return _part_of(found, self.part, self.test_share, film=True), problems
        wanted = Wanted(self.channel, self.labels)
        frames, problems = find_frames(self.folder, self.layout, wanted, self.ndim)
        divided = self.part is not None and any(frame.part == "test" for frame in frames)
        found = [frame.annotated for frame in frames if not divided or frame.part == self.part]
        film = any(item.t is not None for item in found)
        return (found if divided else _part_of(found, self.part, self.test_share, film=film)), problems

    def _chosen(self, found: list[AnnotatedFrame]) -> list[AnnotatedFrame]:
        if not found:
            raise _nothing_left(self)
        return annotated.choose(found, self.chosen_frames, self.chosen_slices, self.annotation_folder)


def training_recording(config: Config, dataset: str) -> Recording:
    """What the models of a data set learn from.

    Raises:
        InputError: Its folder is of no known layout.
    """
    data = config.datasets[dataset]
    return replace(
        _recording(config, data, "train"),
        chosen_frames=data.train_frames,
        chosen_slices=data.train_slices,
        patch=data.train_patch,
    )


def held_out_recording(config: Config, dataset: str, annotations: Literal["ST", "GT"] = "ST") -> Recording | None:
    """What nothing of a data set learns from; `None` where nothing is kept for tests.

    Raises:
        InputError: Its folder is of no known layout.
    """
    data = config.datasets[dataset]
    if not data.has_tests:
        return None
    found = _recording(config, data, "test")
    return replace(found, annotations=annotations) if found.layout == "ctc" else found


def _recording(config: Config, data: Dataset, part: Part) -> Recording:
    """A part of a data set's frames: a sequence, what its layout keeps for it, or a share of all."""
    folder, layout = locate(Path(config.data_root) / data.folder, data.layout, Wanted(data.channel, data.labels))
    if layout != "ctc":
        return Recording(
            folder,
            part,
            "GT",
            data.voxel_size_um,
            layout=layout,
            part=part,
            test_share=data.kept_share,
            channel=data.channel,
            labels=data.labels,
            split_labels=data.split_labels,
            ignore_label=data.ignore_label,
        )
    found = Recording(
        folder,
        data.train_sequence,
        data.annotations,
        data.voxel_size_um,
        channel=data.channel,
        split_labels=data.split_labels,
        ignore_label=data.ignore_label,
    )
    if data.test_sequence is None and data.kept_share:
        return replace(found, part=part, test_share=data.kept_share)
    return found if part == "train" or data.test_sequence is None else replace(found, sequence=data.test_sequence)


def _part_of(found: list[AnnotatedFrame], part: Part | None, share: float, *, film: bool) -> list[AnnotatedFrame]:
    """The frames of a part: of a film, tests are its end; of single images, evenly spread over them."""
    numbers = sorted({item.frame for item in found})
    count = min(max(round(share * len(numbers)), 1), len(numbers) - 1) if share else 0
    if part is None or count < 1:
        return [] if part == "test" else found
    tests = set(numbers[-count:] if film else evenly_spaced(numbers, count))
    return [item for item in found if (item.frame in tests) == (part == "test")]


def _nothing_left(recording: Recording) -> InputError:
    return InputError(
        "No annotated frame is left for tests" if recording.part == "test" else "There are no annotated frames",
        where=recording.folder,
        found="too few annotated frames to keep one for tests" if recording.part == "test" else "none",
        expected="at least two" if recording.part == "test" else "frames with annotations",
        fix="set test_share: 0 in the data set's entry, then nothing is tested; or annotate more frames",
    )
