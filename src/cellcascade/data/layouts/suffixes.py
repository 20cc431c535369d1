"""Frames and annotations in one folder, told apart by the ends of their names: `x.tif` with `x_masks.tif`."""

import re
from collections.abc import Mapping
from pathlib import Path

from cellcascade.core.errors import InputError
from cellcascade.data.layouts.pairs import OF_IMAGES, OF_LABELS, Pair, Wanted, images_in, in_parts, stem, visible
from cellcascade.data.pixels import SEG_SUFFIX

LABELS = re.compile(rf"(.+?)[_\-. ](?:{OF_LABELS})", re.IGNORECASE)
IMAGES = re.compile(rf"(.+?)[_\-. ](?:{OF_IMAGES})", re.IGNORECASE)


def find(folder: Path, wanted: Wanted) -> list[Pair]:
    """Pairs of a folder of this layout, also of `train` and `test` in it; none if it is of another.

    Raises:
        InputError: A frame has two annotations.
    """
    return in_parts(folder, _find)


def _find(folder: Path) -> list[Pair]:
    files = images_in(folder)
    labels: dict[str, Path] = {}
    images: dict[str, Path] = {}
    for path in files:
        if of_label := LABELS.fullmatch(stem(path)):
            _add(labels, of_label[1].lower(), path)
        else:
            of_image = IMAGES.fullmatch(stem(path))
            images[stem(path).lower()] = path
            images.setdefault(of_image[1].lower() if of_image else stem(path).lower(), path)
    for path in _of_cellpose(folder):  # what was saved as an image as well is the same
        labels.setdefault(path.name.lower().removesuffix(SEG_SUFFIX), path)
    return _paired(images, labels)


def _paired(images: Mapping[str, Path], labels: Mapping[str, Path]) -> list[Pair]:
    return [Pair(images[key], path) for key, path in labels.items() if key in images]


def _of_cellpose(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.name.lower().endswith(SEG_SUFFIX)]


def _add(labels: dict[str, Path], key: str, path: Path) -> None:
    if key in labels:
        raise InputError(
            "A frame has two annotations",
            where=path.parent,
            found=f"{labels[key].name} and {path.name}",
            expected="one of them",
            fix="move one of the two elsewhere",
        )
    labels[key] = path
