"""A look at a folder of synthetic images: a contact sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.files import atomic_path
from cellcascade.data.synthetic import ImageEntry, SyntheticSet
from cellcascade.report import figures
from cellcascade.report.images import SyntheticImage, labelled_sheets
from cellcascade.report.pictures import Display

WIDTH = 360  # pixels of one of the two pictures of an image, at most
COLUMNS = 2  # images in a row
LINE = 16  # height of the line of text above an image, pixels
WHITE = 255
SHOWN = (1, 99.8)  # percentiles of the counts that become black and white
GAP = 6


def write_contact_sheet(source: SyntheticSet, png: Path, *, count: int = 12) -> int:
    """Draw some images, evenly spaced over the set, each as it is and with its labels in colour.

    All are shown in the same window. Of stacks three orthogonal planes are drawn.

    Args:
        source: The images.
        png: The picture to write; one that is there is replaced.
        count: Images to draw, at most.

    Returns:
        Number of images that were drawn.

    Raises:
        InputError: An image cannot be read.
    """
    chosen = evenly_spaced(source.images, count)
    display = Display(window_of(chosen))
    tiles = [_tile(entry, source.voxel_size_um, display) for entry in chosen]
    sheet = figures.tile(_of_equal_size(tiles), columns=COLUMNS, gap=GAP, fill=WHITE)
    with atomic_path(png) as scratch:
        Image.fromarray(sheet).save(scratch, "PNG")
    return len(chosen)


def window_of(entries: Sequence[ImageEntry]) -> tuple[float, float]:
    """Counts that are shown as black and white, the same for some images; one of them at a time is in memory."""
    found = np.array([np.percentile(entry.counts(), SHOWN) for entry in entries])
    return float(found[:, 0].min()), float(found[:, 1].max())


def _tile(entry: ImageEntry, voxel_size_um: tuple[float, ...], display: Display) -> np.ndarray:
    """An image as it is, beside it with its labels, below a line that names it."""
    made = SyntheticImage(entry.name, entry.counts(), entry.labels(), voxel_size_um)
    sheets, _ = labelled_sheets(made, display, scale=_scale(made))
    pictures = [Image.fromarray(sheet).convert("RGB") for sheet in sheets]
    smaller = max(1, -(-pictures[0].width // WIDTH))
    pictures = [picture.reduce(smaller) for picture in pictures]
    width, height = pictures[0].size
    tile = Image.new("RGB", (2 * width + GAP, height + LINE), "white")
    for number, picture in enumerate(pictures):
        tile.paste(picture, (number * (width + GAP), LINE))
    ImageDraw.Draw(tile).text((1, 1), f"{entry.name}: {entry.cells} cells", fill="black")
    return np.asarray(tile)


def _scale(made: SyntheticImage) -> int:
    """How much the planes of a stack can be enlarged, those across x and beside them those across z."""
    deep = made.image.shape[0] * made.voxel_size_um[0] / made.voxel_size_um[-1] if made.image.ndim == 3 else 0
    return max(1, int((WIDTH - GAP) / (made.image.shape[-1] + deep)))


def _of_equal_size(tiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Tiles with white below and right of them up to the size of the largest."""
    height, width = np.max([tile.shape[:2] for tile in tiles], axis=0)
    room = [((0, height - tile.shape[0]), (0, width - tile.shape[1]), (0, 0)) for tile in tiles]
    return [np.pad(tile, pad, constant_values=WHITE) for tile, pad in zip(tiles, room)]
