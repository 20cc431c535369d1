"""How tall cells are that single slices were annotated of, and how they fade: the slices that nobody annotated show it.

Through the core of an annotated section, light falls above and below as the cell ends. Half of it is left at two
heights, whose middle is the cell's. Annotators do not end a cell there: they go on as far as they see it, or stop
before. But sections are taken anywhere between a cell's ends. So the ends are twice as far from the middle as sections
are on average: unfolding, as in stereology.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from cellcascade.core.choice import evenly_spaced
from cellcascade.data.inpainting import clear_of
from cellcascade.data.layout import FEWEST_HEIGHTS, RANKS
from cellcascade.data.pixels import Pixels

REACH = 1.5  # slices that are looked at above and below a section, in its diameters
CORE = 0.5  # distance from the outline from which on a pixel is of the core, relative to the largest
COLUMN = 0.95  # height of the columns through the core of a round cell's sections, relative to the cell's
FEWEST_PIXELS = 5  # of a core that tell anything
AWAY = 3  # pixels between any cell and what is background
DIMMEST = 0.3  # light of a section relative to its cell's bright slices, at least: less is noise above all
GRAIN = 1.0  # Gaussian width below which light is grain, pixels
PAD = 4  # pixels around a section that smoothing looks at
COLUMNS = 64  # pixels of a core that are looked at
SMOOTH = (0.7, 1.0, 1.0)  # Gaussian width by which light is smoothed, (z, y, x), voxels
DIP = 0.75  # light relative to the peak below which light that rises again is another cell's
FARTHEST = 0.75  # from the middle, relative to the ends: sections beyond are too small to tell the cell's width
OUTERMOST = 0.1  # share of the sections that lie farthest out and are not relied on
GENEROUS = (0.7, 2.5)  # distance of the ends from the middle, relative to where half of the light is left
FADING, BEYOND = 12, 3  # slices from an end in which light is measured, within a cell and beyond
STEADY = 0.8  # share of light that the next slice shows, at most: the rest is of other cells
DIGITS = 4  # of a result: what comes after them may differ from machine to machine


@dataclass(frozen=True)
class ColumnLight:
    """Light along z through one pixel of an annotated section.

    Attributes:
        half: Half of the distance between the heights at which half of the light is left, slices.
        away: Distance of the section from the middle between them, slices.
        own: Light of the section relative to that of the bright slices.
        light: Light relative to that of its bright slices, of all slices that show this cell and no other (k).
        distance: Their distance from the middle, slices (k).
    """

    half: float
    away: float
    own: float
    light: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class SectionLight:
    """Light along z through the core of an annotated section.

    Attributes:
        width: Diameter of a disc as large as the section, pixels.
        columns: Pixels of its core.
    """

    width: float
    columns: tuple[ColumnLight, ...]

    @property
    def half(self) -> float:
        """Half of the cell's height, seen by its light, slices."""
        return float(np.mean([column.half for column in self.columns])) / COLUMN

    @property
    def share(self) -> float:
        """Distance of the section from the cell's middle, relative to where half of the light is left."""
        return float(np.mean([column.away / column.half for column in self.columns]))

    @property
    def light(self) -> float:
        """Light of the section relative to that of the cell's bright slices."""
        return float(np.mean([column.own for column in self.columns]))


class Fading(BaseModel):
    """How cells fade towards their ends along z and beyond.

    Attributes:
        fall: Light in the last slice within a cell, the one before it, …, relative to its middle.
        decay: Light in a slice beyond a cell's end, relative to that of the slice before.
    """

    model_config = ConfigDict(frozen=True)

    fall: tuple[float, ...]
    decay: float


def measure_sections(
    stack: Pixels, labels: np.ndarray, z: int, names: Sequence[int], voxel_size_um: Sequence[float]
) -> dict[int, SectionLight]:
    """Measure light along z through the sections of an annotated slice: by label, those that show enough.

    Args:
        stack: Counts (z, y, x); read as far as sections may reach.
        labels: Labels of the slice (y, x), 0 is background.
        z: Its number.
        names: Those labels that are sections of whole cells: off the border, no fragments.
        voxel_size_um: Size of a voxel, (z, y, x).
    """
    found = ndimage.find_objects(labels)
    boxes = {name: _wider(found[name - 1], PAD) for name in names}
    if not boxes:
        return {}
    width = 2 * np.sqrt(max((labels[box] == name).sum() for name, box in boxes.items()) / np.pi)
    reach = int(np.ceil(REACH * width / _spacing(voxel_size_um))) + 2
    heights = range(max(z - reach, 0), min(z + reach + 1, stack.shape[0]))
    parts: dict[int, list[np.ndarray]] = {name: [] for name in names}
    for height in heights:
        plane = np.asarray(stack[height])
        for name, box in boxes.items():
            parts[name].append(plane[box].astype(np.float32))
    plane, clear = np.asarray(stack[z]), ndimage.distance_transform_edt(labels == 0) > AWAY
    sections = dict[int, SectionLight | None]()
    for name, box in boxes.items():
        near = _wider(box, int(width))
        background = plane[near][clear[near]] if clear[near].any() else plane[clear]
        if len(background):
            light = smooth(np.stack(parts.pop(name)) - np.median(background))
            sections[name] = section_light(light, labels[box] == name, z - heights.start)
    return {name: section for name, section in sections.items() if section}


def brightened(image: np.ndarray, mask: np.ndarray, light: float) -> np.ndarray:
    """The crop of a section, as bright as its cell's bright slices are; its grain grows as shot noise does.

    Args:
        image: Counts, the cell alone on background, (y, x).
        mask: The section (y, x).
        light: Its light relative to that of the bright slices.

    Returns:
        Counts, of the image's type, (y, x).
    """
    clear, light = clear_of(mask), float(np.clip(light, DIMMEST, 1))
    if light == 1 or not clear.any():
        return image
    level = np.median(image[clear])
    coarse = ndimage.gaussian_filter(image.astype(np.float32) - level, GRAIN)
    fine = image - level - coarse
    counts = level + coarse / light + fine / np.where(mask > 0, np.sqrt(light), 1)
    return np.where(clear, image, np.clip(np.rint(counts), 0, np.iinfo(image.dtype).max)).astype(image.dtype)


def smooth(light: np.ndarray) -> np.ndarray:
    """Light (z, y, x) as `section_light` looks at it: without most of its noise."""
    return ndimage.gaussian_filter(light, SMOOTH)


def section_light(light: np.ndarray, inside: np.ndarray, z: int) -> SectionLight | None:
    """Light along z through a section; `None` where too little is seen.

    Args:
        light: Counts above the background (z, y, x), see `smooth`.
        inside: The section (y, x).
        z: Its slice.
    """
    depth = ndimage.distance_transform_edt(inside)
    core = np.argwhere(depth >= max(CORE * depth.max(), 1))
    if len(core) < FEWEST_PIXELS:
        return None
    columns = [_column(light[:, y, x], z) for y, x in evenly_spaced(list(core), COLUMNS)]
    seen = tuple(column for column in columns if column)
    width = 2 * float(np.sqrt(inside.sum() / np.pi))
    return SectionLight(width, seen) if 2 * len(seen) > len(columns) else None


def unfolded_heights(sections: Sequence[SectionLight], voxel_size_um: Sequence[float]) -> tuple[float, ...]:
    """Height over width of cells, from the smallest to the largest at equal steps of rank; none if few are seen.

    Args:
        sections: What was measured of each; none in 2D.
        voxel_size_um: Size of a voxel, (z, y, x).
    """
    if len(sections) < FEWEST_HEIGHTS:
        return ()
    ends, spacing = _ends(sections), _spacing(voxel_size_um)
    heights = [
        2 * ends * section.half * spacing / (section.width / np.sqrt(1 - (section.share / ends) ** 2))
        for section in sections
        if section.share <= FARTHEST * ends
    ]
    return tuple(np.quantile(heights, RANKS).round(DIGITS).tolist()) if len(heights) >= FEWEST_HEIGHTS else ()


def fit_fading(sections: Sequence[SectionLight]) -> Fading | None:
    """How cells fade; `None` of too few sections.

    Args:
        sections: What was measured of each; none in 2D.
    """
    if len(sections) < FEWEST_HEIGHTS:
        return None
    ends, columns = _ends(sections), [column for section in sections for column in section.columns]
    inward = np.concatenate([ends * column.half - column.distance for column in columns])
    light, step = np.concatenate([column.light for column in columns]), np.floor(inward).astype(int)
    seen = [i for i in range(-BEYOND, FADING) if (step == i).sum() >= FEWEST_HEIGHTS]
    mean = {i: max(float(light[step == i].mean()), 0.0) for i in seen}
    inner, outer = [mean[i] for i in seen if i >= 0], [i for i in seen if i < 0 and i + 1 in mean]
    if not inner or max(inner) <= 0:
        return None
    fall = np.maximum.accumulate(inner) / max(inner)
    fall = fall[: int(fall.argmax()) + 1].round(DIGITS)
    decay = sum(mean[i] for i in outer) / max(sum(mean[i + 1] for i in outer), 1e-6)
    return Fading(fall=tuple(fall.tolist()), decay=round(min(decay, STEADY), DIGITS))


def _wider(box: tuple[slice, ...], pixels: int) -> tuple[slice, slice]:
    """A box (y, x) with so many pixels more on each side."""
    y, x = box
    return slice(max(y.start - pixels, 0), y.stop + pixels), slice(max(x.start - pixels, 0), x.stop + pixels)


def _spacing(voxel_size_um: Sequence[float]) -> float:
    """Distance of slices, pixels of the plane."""
    return voxel_size_um[0] / voxel_size_um[-1]


def _ends(sections: Sequence[SectionLight]) -> float:
    """Distance of cells' ends from their middle, relative to where half of the light is left.

    Sections lie anywhere between the ends: at half of this distance on average, and the farthest near the ends. Both
    tell of it, and their mean is steadier than either. The very farthest ones may have been measured wrongly.
    """
    share, n = np.array([section.share for section in sections]), len(sections)
    rank = n - int(np.ceil(OUTERMOST * n))
    return float(np.clip((2 * share.mean() + np.sort(share)[rank - 1] * (n + 1) / rank) / 2, *GENEROUS))


def _column(light: np.ndarray, at: int) -> ColumnLight | None:
    """The light of one column, from its section up to the brightest and from there down to both sides; `None`: unclear.

    Args:
        light: Counts above the background (z).
        at: The section's slice.
    """
    peak = at
    while (higher := max(range(max(peak - 1, 0), min(peak + 2, len(light))), key=light.__getitem__)) != peak:
        peak = higher
    sides = _sides(light, peak, light[peak])
    if sides is None:
        return None
    shown = light[sides[0] : sides[1]]
    peak, bright = sides[0] + int(shown.argmax()), float(shown[shown >= DIP * shown.max()].mean())
    sides = _sides(light, peak, bright)
    if sides is None:
        return None
    first, last, down, up = sides
    middle, slices = peak + (up - down) / 2, np.arange(first, last)
    shown, distance = light[first:last] / bright, np.abs(slices - middle)
    return ColumnLight((up + down) / 2, abs(at - middle), float(light[at] / bright), shown, distance)


def _sides(light: np.ndarray, peak: int, bright: float) -> tuple[int, int, float, float] | None:
    """Both sides of a peak: the first slice that shows its cell and the one after the last, and where half is left.

    Args:
        light: Counts above the background (z).
        peak: The brightest slice.
        bright: Light of the cell where it is bright: the brightest slice alone owes some of it to noise.
    """
    share = light / max(bright, 1e-6)
    below, above = _side(share[peak::-1]), _side(share[peak:])
    if bright <= 0 or below is None or above is None:
        return None
    return peak - below[0] + 1, peak + above[0], below[1], above[1]


def _side(share: np.ndarray) -> tuple[int, float] | None:
    """One side of a peak: slices that show the same cell, and where half of the light is left; `None` if unseen.

    Args:
        share: Light relative to that of the bright slices, from the peak on.
    """
    rises = np.flatnonzero((np.diff(share) > 0) & (share[:-1] < DIP))
    slices = int(rises[0]) + 1 if len(rises) else len(share)
    below = np.flatnonzero(share[:slices] < 0.5)
    if len(below):
        here = int(below[0])
        return slices, here - (0.5 - share[here]) / (share[here - 1] - share[here])
    return (slices, float(slices)) if len(rises) else None
