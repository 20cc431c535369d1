"""What every export gives and shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.synthetic import ImageEntry, SyntheticSet


@dataclass(frozen=True)
class Exported:
    """What was written, for people.

    Attributes:
        what: One line: how much of what.
        notes: What a user should know of it, a line each.
        commands: What to run next, within the folder, a line each; empty for nothing.
    """

    what: str
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


def held_out(images: Sequence[ImageEntry], share: float) -> frozenset[str]:
    """Names of the images for validation, evenly spaced; at least one where a share is asked for and two are there."""
    count = min(max(1, round(share * len(images))), len(images) - 1) if share else 0
    return frozenset(image.name for image in evenly_spaced(images, count)) if count else frozenset()


def few(names: Sequence[str]) -> str:
    """Names for a message; of many, the first."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def empty_images(source: SyntheticSet) -> list[str]:
    """A note on the images without cells, if there are any."""
    names = source.without_cells
    return [f"images without cells, kept as examples of background: {len(names)} ({few(names)})"] if names else []


def check_labels(image: ImageEntry, labels: np.ndarray, largest: int, form: str) -> None:
    """Refuse labels that a format cannot hold.

    Raises:
        InputError: A label is above `largest`.
    """
    if labels.size and (found := int(labels.max())) > largest:
        raise InputError(
            f"An image has more labels than {form} can hold",
            where=image.path,
            found=f"label {found}",
            expected=f"labels up to {largest}",
            fix="choose another format (pairs, stardist and coco hold more), or make images with fewer cells",
        )
