"""What the check looks at: a few planes of a recording, evenly spread, each with what its labels say."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cellcascade.checks.labels import LabelFacts, label_facts
from cellcascade.config.settings import CropSettings
from cellcascade.core.choice import evenly_spaced
from cellcascade.data.ctc import AnnotatedFrame
from cellcascade.data.recording import Recording

FRAMES = {2: 8, 3: 4}  # annotations looked at, by number of axes
VOXELS = 2**25  # of a larger stack, single slices are looked at
SLICES = 4  # so many of each


@dataclass(frozen=True)
class Look:
    """One annotation that was looked at.

    Attributes:
        annotated: The annotation.
        image: Counts of the plane that shows the most of its cells, (y, x).
        labels: Labels of this plane, (y, x).
        facts: What all its labels say.
        ignored: Where nobody annotated the plane, bool (y, x); `None`: all is annotated.
    """

    annotated: AnnotatedFrame
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    facts: LabelFacts = field(repr=False)
    ignored: np.ndarray | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Its frame, and slice, in words."""
        z = self.annotated.z
        return f"frame {self.annotated.frame}" + (f", slice {z}" if z is not None else "")

    @property
    def file(self) -> Path:
        """File of its labels."""
        return self.annotated.labels


@dataclass(frozen=True)
class Sample:
    """Annotations of a recording that were looked at.

    Attributes:
        recording: The recording.
        looks: Those that were looked at.
        frames: All its annotations.
    """

    recording: Recording
    looks: list[Look]
    frames: list[AnnotatedFrame]

    @property
    def total(self) -> int:
        """Number of its annotations."""
        return len(self.frames)

    def beside(self, look: Look) -> list[Look]:
        """The same plane with the labels of the frames before and after it; none for stacks."""
        if self.recording.ndim == 3:
            return []
        place = self.frames.index(look.annotated)
        near = [self.frames[index] for index in (place - 1, place + 1) if 0 <= index < self.total]
        return [replace(look, annotated=item, labels=self.recording.read_labels(item)) for item in near]

    @property
    def text(self) -> str:
        """How much was looked at, in words."""
        count = len(self.looks)
        if count == self.total:
            return f"all {count} annotations" if count > 1 else "the only annotation"
        return f"{count} of {self.total} annotations"


def take_sample(recording: Recording, settings: CropSettings) -> Sample:
    """Read some annotations of a recording.

    Args:
        recording: The recording.
        settings: The `crops` block: which cells are usable.

    Raises:
        InputError: The recording cannot be used, or a file is damaged.
    """
    frames = recording.frames()
    looks = [_look(recording, item, settings) for item in _chosen(recording, frames)]
    return Sample(recording, looks, frames)


def _chosen(recording: Recording, frames: list[AnnotatedFrame]) -> Iterator[AnnotatedFrame]:
    """Some annotations, evenly spread; of stacks that are too large, some slices."""
    for item in evenly_spaced(frames, FRAMES[recording.ndim]):
        shape = recording.read_image(item).shape
        if item.z is None and recording.ndim == 3 and np.prod(shape) > VOXELS:
            part = replace(recording, chosen_frames=[item.frame], chosen_slices=min(SLICES, shape[0]))
            yield from part.frames()
        else:
            yield item


def _look(recording: Recording, item: AnnotatedFrame, settings: CropSettings) -> Look:
    (image, labels), ignored = recording.read(item), recording.read_ignored(item)
    facts = label_facts(labels, item, settings, ignored)
    if labels.ndim == 3:
        fullest = int(np.count_nonzero(labels, (1, 2)).argmax())
        image, labels = image[fullest].copy(), labels[fullest].copy()
        ignored = None if ignored is None else ignored[fullest]
    return Look(item, image, labels, facts, ignored)
