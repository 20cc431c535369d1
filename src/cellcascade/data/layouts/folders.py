"""Frames and annotations in two folders: `images/` and `masks/`; StarDist has them below `train/` and `test/`."""

import re
from pathlib import Path

from cellcascade.data.layouts.pairs import OF_IMAGES, OF_LABELS, Pair, Wanted, images_in, in_parts, match, visible

LABELS, IMAGES = (re.compile(words, re.IGNORECASE) for words in (OF_LABELS, OF_IMAGES))


def find(folder: Path, wanted: Wanted) -> list[Pair]:
    """Pairs of a folder of this layout; none if it is of another.

    Raises:
        InputError: The two folders are there, and their files cannot be paired.
    """
    return in_parts(folder, _find)


def _find(folder: Path) -> list[Pair]:
    two = _two_folders(folder)
    return match(images_in(two[0]), images_in(two[1]), folder) if two else []


def _two_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of frames and of annotations; frames may also lie beside the folder of annotations."""
    below = [path for path in visible(folder) if path.is_dir() and images_in(path)]
    labels = [path for path in below if LABELS.fullmatch(path.name)]
    if not labels and len(below) == 2:
        labels = [path for path in below if LABELS.search(path.name)]
    if len(labels) != 1:
        return None
    others = [path for path in below if path != labels[0]]
    images = others if len(others) == 1 else [path for path in others if IMAGES.fullmatch(path.name)]
    if images:
        return images[0], labels[0]
    return (folder, labels[0]) if images_in(folder) else None
