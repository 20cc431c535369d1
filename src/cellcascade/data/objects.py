"""Annotated objects of a frame: which of them are whole cells that a crop can be cut of, and why not the others."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from cellcascade.config.settings import CropSettings
from cellcascade.data.annotated import AnnotatedFrame

ONE_PIECE = 0.95  # share of a cell's area that its largest piece must hold
FRAGMENTARY = "fragment"  # the reason in the table
CUT = "touches border"
PARTLY_SEEN = "touches what is not annotated"
SEAM = 0.4  # share of a sliver's pixels beside other objects from which on it is a seam along them
FRAGMENT = 0.25  # share of the median object's size below which one without a core is a fragment


@dataclass(frozen=True)
class Slice:
    """A slice of a cell: its mask (y, x) in its bounding box, whose first pixel is `corner`."""

    z: int
    mask: np.ndarray
    corner: tuple[int, int]


@dataclass
class Cell:
    """An annotated object: its row of the table, and the slices to cut, the widest first; none if it is left out."""

    row: dict
    slices: list[Slice] = field(default_factory=list)


def find_cells(
    labels: np.ndarray, annotated: AnnotatedFrame, options: CropSettings, ignored: np.ndarray | None = None
) -> Iterator[Cell]:
    """Find every annotated object, with the slices to cut if it is usable.

    Args:
        labels: Labels ([z,] y, x), 0 is background.
        annotated: The annotation that they are of.
        options: The `crops` block of the configuration.
        ignored: Where nobody annotated, bool, of the labels' shape; `None`: all is annotated.

    Returns:
        The objects by their labels. The rows hold `frame`, `label`, `z` and `area` (pixels) of the widest slice,
        whether it is `kept`, and else the `reason`.
    """
    volume = labels if labels.ndim == 3 else labels[None]
    fragments, beside = fragments_of(volume), labels_beside(labels, ignored)
    for label, box in enumerate(ndimage.find_objects(volume), 1):
        if box is None:
            continue
        inside = volume[box] == label
        areas = inside.sum((1, 2))
        widest = int(areas.argmax())
        z = annotated.z if annotated.z is not None else widest + box[0].start if labels.ndim == 3 else -1
        row = {"frame": annotated.frame, "label": label, "z": z, "area": int(areas[widest])}
        plane = _one_piece(inside[widest], box, z)
        touches = any(side.start == 0 or side.stop == edge for side, edge in zip(box[1:], volume.shape[1:]))
        outer = CUT if touches else PARTLY_SEEN if label in beside else ""
        row["reason"] = FRAGMENTARY if label in fragments else outer or _unfit(plane, options)
        row["kept"] = not row["reason"]
        cell = Cell(row)
        if row["kept"] and plane:
            others = (_one_piece(inside[i], box, i + box[0].start) for i in _heights(areas, options.slices_per_cell))
            cell.slices = [plane] + [other for other in others if other and _fits(other, plane, options)]
        yield cell


def labels_beside(labels: np.ndarray, ignored: np.ndarray | None) -> set[int]:
    """Labels of objects that touch, in a plane, what nobody annotated: they may go on there."""
    if ignored is None:
        return set()
    wide = ndimage.binary_dilation(ignored, np.ones((1, 3, 3)[-labels.ndim :], bool))
    return set(np.unique(labels[wide]).tolist()) - {0}


def has_core(labels: np.ndarray) -> np.ndarray:
    """Pixels ([z,] y, x) whose eight neighbours in their plane belong to the same object; not a sliver has one."""
    same_x, same_y = labels[..., 1:] == labels[..., :-1], labels[..., 1:, :] == labels[..., :-1, :]
    rows = labels > 0
    rows[..., 1:] &= same_x
    rows[..., :-1] &= same_x
    core = rows.copy()
    core[..., 1:, :] &= rows[..., :-1, :] & same_y
    core[..., :-1, :] &= rows[..., 1:, :] & same_y
    return core


def touches_another(labels: np.ndarray) -> np.ndarray:
    """Pixels ([z,] y, x) beside which, in their plane, lies another object."""
    touching = np.zeros(labels.shape, bool)
    for axis in (-1, -2):
        moved, seen = np.moveaxis(labels, axis, 0), np.moveaxis(touching, axis, 0)
        different = (moved[1:] != moved[:-1]) & (moved[1:] > 0) & (moved[:-1] > 0)
        seen[1:] |= different
        seen[:-1] |= different
    return touching


def fragments_of(labels: np.ndarray) -> set[int]:
    """Labels of slivers and specks: nowhere three pixels wide, and small beside the others or a seam along one.

    They are no cells of a frame. Labels that were resized with interpolation are full of them.

    Args:
        labels: Labels ([z,] y, x), 0 is background.
    """
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    whole = np.bincount(labels[has_core(labels)], minlength=len(sizes)) > 0
    if not whole.any():
        return set()
    small = sizes < FRAGMENT * np.median(sizes[whole])
    seam = np.bincount(labels[touches_another(labels)], minlength=len(sizes)) > SEAM * sizes
    return set(np.flatnonzero((sizes > 0) & ~whole & (small | seam)).tolist())


def _one_piece(mask: np.ndarray, box: tuple[slice, ...], z: int) -> Slice | None:
    """The largest piece of a mask with its holes filled, or `None` if other pieces are too large to ignore."""
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return None
    if count > 1:
        areas = np.bincount(pieces.ravel())[1:]
        if areas.max() < ONE_PIECE * areas.sum():
            return None
        mask = pieces == areas.argmax() + 1
    tight = ndimage.find_objects(mask.astype(np.uint8))[0]
    corner = (box[-2].start + tight[0].start, box[-1].start + tight[1].start)
    return Slice(z, ndimage.binary_fill_holes(mask[tight]), corner)


def _unfit(plane: Slice | None, options: CropSettings) -> str:
    """Why a cell cannot be used, or an empty text."""
    if plane is None:
        return "several pieces"
    if plane.mask.sum() < options.min_area:
        return "too small"
    return "does not fit" if max(plane.mask.shape) + 2 * options.margin > options.size else ""


def _heights(areas: np.ndarray, wanted: int) -> list[int]:
    """Slices spread evenly over a cell's height, besides the widest one, which replaces its nearest."""
    widest, count = int(areas.argmax()), min(wanted, len(areas))
    chosen = np.unique(((np.arange(count) + 0.5) * len(areas) / count).astype(int))
    return [int(z) for z in chosen if z != chosen[np.abs(chosen - widest).argmin()]]


def crop_origin(plane: Slice, size: int) -> tuple[int, int]:
    """First pixel (y, x) of the crop that is centred on the bounding box."""
    y, x = (first + (length - size) // 2 for first, length in zip(plane.corner, plane.mask.shape))
    return y, x


def _fits(other: Slice, widest: Slice, options: CropSettings) -> bool:
    """Whether another slice of the cell lies in the crop of the widest one."""
    starts = [first - origin for first, origin in zip(other.corner, crop_origin(widest, options.size))]
    return all(start >= 0 and start + n <= options.size for start, n in zip(starts, other.mask.shape))
