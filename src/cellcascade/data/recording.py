"""A recording: one sequence of real frames, which of them are annotated, and the size of its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cellcascade.config.datasets import Config
from cellcascade.data import ctc
from cellcascade.data.ctc import AnnotatedFrame
from cellcascade.data.pieces import split
from cellcascade.data.tiff import Pixels

Choice = int | Sequence[int] | None


@dataclass(frozen=True)
class Recording:
    """One sequence of a data set, in the layout of the Cell Tracking Challenge.

    Attributes:
        folder: The data set's folder.
        sequence: The sequence, e.g. `"01"`.
        annotations: `"ST"` (silver truth) or `"GT"` (gold truth).
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres; its length says whether the frames are 2D or 3D.
        chosen_frames: Only these annotated frames: a count, evenly spaced, or their numbers; `None` for all.
        chosen_slices: Of each stack only these annotated slices, likewise.
        split_labels: Whether each connected piece of a label is a cell of its own.
    """

    folder: Path
    sequence: str
    annotations: str
    voxel_size_um: tuple[float, ...]
    chosen_frames: Choice = None
    chosen_slices: Choice = None
    split_labels: bool = False

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
        """Folder of the annotation files."""
        return ctc.annotation_folder(self.folder, self.sequence, self.annotations)

    def all_of(self, annotations: str) -> "Recording":
        """The same sequence with all its annotations of one kind, `"ST"` or `"GT"`."""
        return replace(self, annotations=annotations, chosen_frames=None, chosen_slices=None)

    def frames(self) -> list[AnnotatedFrame]:
        """The annotated frames, in the order of frame and slice.

        Raises:
            InputError: A folder is missing, nothing is annotated, an annotation lacks its frame, or a frame or slice
                that is asked for is not annotated.
        """
        return ctc.annotated_frames(
            self.folder, self.sequence, self.annotations, self.chosen_frames, self.chosen_slices
        )

    def checked_frames(self) -> list[AnnotatedFrame]:
        """The annotated frames, each checked by the headers of its files, without reading pixels.

        Raises:
            InputError: With every problem of the sequence at once.
        """
        chosen = self.chosen_frames, self.chosen_slices
        return ctc.check_sequence(self.folder, self.sequence, self.annotations, self.ndim, *chosen)

    def read(self, frame: AnnotatedFrame) -> tuple[np.ndarray, np.ndarray]:
        """Counts and labels (uint16, 0 is unlabelled) of an annotated frame, or of its annotated slice alone.

        Raises:
            InputError: A file is damaged, of the wrong type, or the two do not fit together.
        """
        image, labels = ctc.read_annotated(frame, self.ndim)
        return image, split(labels, frame.labels) if self.split_labels else labels

    def read_labels(self, frame: AnnotatedFrame) -> np.ndarray:
        """The labels that `read` gives, without the counts.

        Raises:
            InputError: A file is damaged, of the wrong type, or the two do not fit together.
        """
        labels = ctc.read_labels(frame, self.ndim)
        return split(labels, frame.labels) if self.split_labels else labels

    def read_image(self, frame: AnnotatedFrame) -> Pixels:
        """Counts of the whole frame, ([z,] y, x), also where only a slice of it is annotated.

        Nothing is read before it is indexed: `[z]` reads a slice, `[...]` the whole frame.

        Raises:
            InputError: The file is no such frame, or damaged.
        """
        return ctc.open_frame(frame.image, self.ndim)


def training_recording(config: Config, dataset: str) -> Recording:
    """What the models of a data set learn from."""
    data = config.datasets[dataset]
    folder = Path(config.data_root) / data.folder
    chosen = data.train_frames, data.train_slices
    return Recording(folder, data.train_sequence, data.annotations, data.voxel_size_um, *chosen, data.split_labels)


def held_out_recording(config: Config, dataset: str, annotations: str = "ST") -> Recording | None:
    """What nothing of a data set learns from; `None` where there is no test sequence."""
    data = config.datasets[dataset]
    if data.test_sequence is None:
        return None
    folder = Path(config.data_root) / data.folder
    return Recording(folder, data.test_sequence, annotations, data.voxel_size_um, split_labels=data.split_labels)
