"""Which layout a folder has: as configured, or by looking at it. Free of torch."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cellcascade.config.datasets import Layout
from cellcascade.core.errors import InputError
from cellcascade.data import ctc
from cellcascade.data.layouts import folders, nnunet, ome_zarr, suffixes
from cellcascade.data.layouts.archives import archive_of, unpacked
from cellcascade.data.layouts.links import without_braces
from cellcascade.data.layouts.pairs import Pair, Wanted, visible

# In the order in which they are tried: those that say most about themselves first.
FINDERS: dict[str, Callable[[Path, Wanted], list[Pair]]] = {
    "nnunet": nnunet.find,
    "ome-zarr": ome_zarr.find,
    "folders": folders.find,
    "suffixes": suffixes.find,
}
EXAMPLES = {
    "ctc": "01/t000.tif with 01_GT/SEG/man_seg000.tif",
    "nnunet": "imagesTr/x_0000.tif with labelsTr/x.tif",
    "ome-zarr": "x.ome.zarr with labels in it",
    "folders": "images/x.tif with masks/x.tif, also below train/ and test/",
    "suffixes": "x.tif with x_masks.tif, x_label.tif or x_seg.npy",
}


class Place(NamedTuple):
    """A data set's folder as it is read, and its layout."""

    folder: Path
    layout: str


def locate(folder: Path, layout: Layout, wanted: Wanted) -> Place:
    """Find out where a data set's files are, and how they are laid out.

    An archive is unpacked once. If the folder holds nothing but another one, as archives are often unpacked, that one
    counts. A folder that is not there is taken for one of the Cell Tracking Challenge: what is said of it fits all.

    Args:
        folder: The data set's folder, or a zip archive of it.
        layout: The layout, or `auto`.
        wanted: What of the files is read.

    Raises:
        InputError: The folder is of no layout that is known, or not of the one that is asked for.
    """
    if archive := archive_of(folder):
        folder = unpacked(archive)
    if not folder.is_dir():
        return Place(folder, "ctc" if layout == "auto" else layout)
    tried = _nested(without_braces(folder))
    for place in tried:
        for name in ["ctc", *FINDERS] if layout == "auto" else [layout]:
            if _fits(place, name, wanted):
                return Place(place, name)
    if layout == "ctc":
        return Place(folder, layout)
    raise _unknown(tried[-1], layout)


def _nested(folder: Path) -> list[Path]:
    """The folder, and those in it as long as each holds nothing but one other."""
    found = [folder]
    while len(below := visible(found[-1])) == 1 and below[0].is_dir():
        found.append(below[0])
    return found


def _fits(folder: Path, layout: str, wanted: Wanted) -> bool:
    if layout == "ctc":
        return bool(ctc.sequences(folder))
    return bool(FINDERS[layout](folder, wanted))


def _unknown(folder: Path, layout: Layout) -> InputError:
    there = visible(folder)
    below = [f"{path.name}/ with {len(visible(path))} files" if path.is_dir() else path.name for path in there[:4]]
    examples = EXAMPLES if layout == "auto" else {layout: EXAMPLES[layout]}
    return InputError(
        "No frames with annotations were found" if layout == "auto" else f"The data set is not of the layout {layout}",
        where=folder.absolute(),
        found=f"{', '.join(below)}{f', and {len(there) - 4} more' * (len(there) > 4)}" if there else "an empty folder",
        expected=" | ".join(f"{name}: {example}" for name, example in examples.items()),
        fix="name or arrange the files like one of these; images are .tif, .png or .jp2; docs/your-data.md shows each",
    )
