"""OME-Zarr images that hold their labels: one, or a folder of them."""

from collections.abc import Iterator
from pathlib import Path

from cellcascade.core.errors import InputError
from cellcascade.data import zarr_levels
from cellcascade.data.layouts.pairs import Pair, Wanted, in_parts, visible


def find(folder: Path, wanted: Wanted) -> list[Pair]:
    """Pairs of a folder of this layout, also of `train` and `test` in it; none if it is of another.

    Raises:
        InputError: An image is damaged, or holds several labels of which none was chosen.
    """
    return in_parts(folder, lambda place: list(_find(place, wanted.labels)))


def _find(folder: Path, name: str | None) -> Iterator[Pair]:
    for image in _images(folder):
        if names := zarr_levels.label_names(image):
            labels = image / "labels" / _chosen(names, name, image)
            yield Pair(zarr_levels.finest(image), zarr_levels.finest(labels))


def _images(folder: Path) -> Iterator[Path]:
    stores = [folder] if zarr_levels.is_group(folder) else [path for path in visible(folder) if path.is_dir()]
    return (image for store in stores for image in zarr_levels.images(store))


def _chosen(names: list[str], name: str | None, image: Path) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        raise InputError(
            "An image has several labels" if name is None else "An image does not have the labels that are asked for",
            where=image / "labels",
            found=", ".join(names),
            expected="one of them" if name is None else name,
            fix=f"choose one in the data set's entry, e.g. `labels: {names[0]}`",
        )
    return name


def names_of(folder: Path) -> list[str]:
    """Names of the labels of a folder's first image that has some; none if the folder is of another layout.

    Raises:
        InputError: An image is damaged.
    """
    return next(filter(None, map(zarr_levels.label_names, _images(folder))), [])
