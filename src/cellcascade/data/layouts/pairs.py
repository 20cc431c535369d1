"""Pairs of a frame and its annotation, and how files are matched by their names. Free of torch."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cellcascade.core.errors import InputError
from cellcascade.data.pixels import SUFFIXES

Part = Literal["train", "test"]
PARTS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
OF_LABELS = (
    r"(?:cp[_-])?masks?|labels?|labell?ed|seg(?:mentations?)?|gt|ground[_ -]?truth|instances?|annotations?|targets?"
)
OF_IMAGES = r"images?|imgs?|raw|frames?|inputs?|intensit(?:y|ies)"
WORDS = re.compile(rf"(?:^|[_\-. ])(?:{OF_LABELS}|{OF_IMAGES})(?=$|[_\-. ])", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A frame, or a file with several, and its annotation.

    Attributes:
        image: File of the frame; of OME-Zarr, the folder of an array.
        labels: File of the annotation, likewise.
        part: Whether the layout keeps it for training or for tests; `None` if it does not say.
        one_channel: Whether the frame's file holds the chosen channel alone.
    """

    image: Path
    labels: Path
    part: Part | None = None
    one_channel: bool = False


@dataclass(frozen=True)
class Wanted:
    """What of the files of a layout is read.

    Attributes:
        channel: The channel, where each has a file of its own.
        labels: Name of the labels, where an image has several.
    """

    channel: int | None = None
    labels: str | None = None


def visible(folder: Path) -> list[Path]:
    """What is in a folder, in the order that people count in; without what systems leave there."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    return sorted(found, key=lambda path: natural(path.name))


def natural(name: str) -> list[tuple[int, str]]:
    """A key that puts `t2` before `t10`."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder, in the order that people count in."""
    return [path for path in visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def stem(path: Path) -> str:
    """A file's name without what says its format."""
    return path.stem.removesuffix(".ome").removesuffix(".OME")


def in_parts(folder: Path, find: Callable[[Path], list[Pair]]) -> list[Pair]:
    """Pairs of a folder; if it has none, those of `train` and `test` in it.

    Args:
        folder: The data set's folder.
        find: Gives the pairs of a folder.
    """
    if pairs := find(folder):
        return pairs
    below = {path.name.lower(): path for path in visible(folder) if path.is_dir()}
    found = list[Pair]()
    for part, names in PARTS.items():
        chosen = next((below[name] for name in names if name in below), None)
        found += [Pair(pair.image, pair.labels, part) for pair in find(chosen)] if chosen else []
    return found


def match(images: list[Path], labels: list[Path], where: Path) -> list[Pair]:
    """Pair annotations with frames: by equal names, by what is common to all names, or else by order.

    Args:
        images: Frames; there may be more than annotations.
        labels: Annotations.
        where: Their folder, for messages.

    Raises:
        InputError: They cannot be paired.
    """
    for keys in (_stems, _without_words, _without_affixes):
        of_images, of_labels = list(keys(images)), list(keys(labels))
        unique = len(set(of_images)) == len(of_images) and len(set(of_labels)) == len(of_labels)
        if unique and set(of_labels) <= set(of_images):
            own = dict(zip(of_labels, labels))
            return [Pair(image, own[key]) for key, image in zip(of_images, images) if key in own]
    if len(images) == len(labels):
        return [Pair(image, own) for image, own in zip(images, labels)]
    names = {name.lower() for name in _stems(images)}
    alone = [path.name for path in labels if stem(path).lower() not in names]
    raise InputError(
        "Images and masks cannot be paired",
        where=where,
        found=f"{len(images)} images and {len(labels)} masks; without an image of their name: {', '.join(alone[:3])}"
        f"{', ...' * (len(alone) > 3)}",
        expected="equal names, names that differ in what is common to all of them, or as many masks as images",
        fix="rename the masks after their images, or move those that belong to none elsewhere",
    )


def _stems(paths: Iterable[Path]) -> Iterator[str]:
    return (stem(path).lower() for path in paths)


def _without_words(paths: Iterable[Path]) -> Iterator[str]:
    """Names without words such as mask and image."""
    return (WORDS.sub("", name).strip("_-. ") for name in _stems(paths))


def _without_affixes(paths: Iterable[Path]) -> Iterator[str]:
    """Names without what all of them begin and end with; numbers stay whole."""
    names = list(_stems(paths))
    before = re.sub(r"\d+$", "", os.path.commonprefix(names))
    after = re.sub(r"\d+$", "", os.path.commonprefix([name[::-1] for name in names]))
    return (name[len(before) : len(name) - len(after)] for name in names)
