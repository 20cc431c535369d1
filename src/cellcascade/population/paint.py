"""Placed cells painted over a background without a seam (paper, section 2, cell population synthesis)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from cellcascade.population.axial import beyond
from cellcascade.population.bodies import Body
from cellcascade.population.canvas import Canvas, Placement, overlap
from cellcascade.population.cell_library import DARKEST, SMOOTH, Cell

EVERY = 11  # of so many voxels, one is looked at for the darkest counts


@dataclass(frozen=True)
class Ground:
    """The background of a canvas or of a part of it.

    Attributes:
        counts: Counts, (z, y, x).
        smooth: Their local mean.
        darkest: The darkest counts of the whole canvas.
        haze: The cells' light in it that their crops show as well, counts, (z, y, x); `None`: there is none.
    """

    counts: np.ndarray
    smooth: np.ndarray
    darkest: float
    haze: np.ndarray | None = None

    @classmethod
    def of(cls, counts: np.ndarray, haze: np.ndarray | None = None) -> "Ground":
        """The background of a canvas, counts, (z, y, x), with its haze near cells."""
        darkest = float(np.percentile(counts.ravel()[::EVERY], DARKEST))
        return cls(counts, ndimage.gaussian_filter(counts, (0, SMOOTH, SMOOTH)), darkest, haze)

    def part(self, here: tuple[slice, ...]) -> "Ground":
        """The background of a part of the canvas."""
        haze = None if self.haze is None else self.haze[here]
        return Ground(self.counts[here], self.smooth[here], self.darkest, haze)


def paint(
    canvas: Canvas,
    placed: Sequence[Placement],
    ground: Ground,
    *,
    scores: np.ndarray | None,
    rim: int,
    z_decay: float,
    neighbour_light: float = 1.0,
) -> np.ndarray:
    """Paint placed cells over a background without a seam.

    Light adds: a cell is as bright above the canvas' background as it was above its crop's, and it shows the light that
    its neighbours shed on it. In the rim around it, the crop's light lies on top of the canvas' background, too, and
    fades out over the rim's outer half. Slices beyond the cell show a falling share of its signal.

    Args:
        canvas: Where the cells are.
        placed: The cells.
        ground: The background.
        scores: Standard normal noise, correlated as the background's is, (z, y, x); `None` if neither cells nor
            background have noise: then none is painted.
        rim: Width of the rim, pixels.
        z_decay: Share of a slice's signal that the next slice beyond a cell shows; 0 in 2D.
        neighbour_light: Share of the light around a cell that falls on the cells next to it.

    Returns:
        Counts, float32, (z, y, x).
    """
    image, free = ground.counts.copy(), (canvas.labels == 0).astype(np.float32)
    for item in placed:
        here, cut = overlap(item.corner, item.cell.image.shape, canvas.shape)
        inside, distance = canvas.labels[here] == item.label, canvas.distance[here]
        band = (canvas.owner[here] == item.label) & ~inside & (distance <= rim)
        weight = np.clip(2 * (1 - distance / (rim + 1)), 0, 1)  # the inner half of the rim is the crop's own light
        share = None if scores is None else ndtr(scores[here])
        around = _rim(item.cell, cut, ground.part(here), weight=weight, share=share)
        image[here][band] = around[band]
        image[here][inside] = item.cell.image[cut][inside] + _lift(item.cell, inside, ground.part(here))
        free[here][band] = 1 - weight[band]  # what the crop does not show of the light around a cell, its glow does
        if z_decay:
            _glow(canvas, item, image, free=free, scores=scores, decay=z_decay)
    for item in placed:
        _shine(canvas, item, image, rim=rim, share=neighbour_light)
    return image


def _lift(cell: Cell, inside: np.ndarray, ground: Ground) -> float:
    """Counts by which the canvas' background where a cell is (z, y, x) is above that of its crop."""
    if not inside.any():
        return 0.0
    haze = 0.0 if ground.haze is None else ground.haze[inside].mean()
    return float(ground.counts[inside].mean() - haze - cell.level)


def _shine(canvas: Canvas, item: Placement, image: np.ndarray, *, rim: int, share: float) -> None:
    """Add the light that a cell sheds on the cells next to it, as far as its rim reaches: light adds.

    Args:
        canvas: Where the cells are.
        item: The cell.
        image: The canvas' counts, which the light is added to, (z, y, x).
        rim: Width of the rim, pixels.
        share: Share of the light that falls on them.
    """
    cell, body = item.cell, item.body or Body.of(item.cell.mask, canvas.around)
    first = np.subtract(body.start, canvas.around.reach)  # where the halo begins in the cell's part of its crop
    of_halo, of_cell = overlap((-first).tolist(), cell.image.shape, body.halo.shape)
    corner = [at + side.start for at, side in zip(item.corner, of_cell)]
    here, cut = overlap(corner, body.halo[of_halo].shape, canvas.shape)
    labels = canvas.labels[here]
    lit = (labels > 0) & (labels != item.label)
    if lit.any():
        lit &= body.halo[of_halo][cut] <= rim
        image[here][lit] += share * np.maximum(cell.around[of_cell][cut] - cell.level, 0)[lit]


def _rim(
    cell: Cell, cut: tuple[slice, ...], ground: Ground, *, weight: np.ndarray, share: np.ndarray | None
) -> np.ndarray:
    """Counts around a cell: what its crop's local mean has above the crop's own background, on the canvas' background.

    The haze near cells is of the same light: the brighter of the two is seen.

    Mixing the noise of the two would average it away, so each pixel has the noise of one of them: of the background
    with a probability of one minus `weight`, else of the crop. Noise that would reach below the canvas' darkest counts
    is made smaller: clipping it there would make the rim too bright.

    Args:
        cell: The cell.
        cut: Its part that lies on the canvas.
        ground: The background of that part of the canvas.
        weight: Share of the crop's light that is seen, 0 to 1, (z, y, x).
        share: Uniform random numbers, (z, y, x); `None`: there is no noise, and what is fine in the crop fades out.
    """
    crop, around, darkest = cell.image[cut], cell.around[cut], ground.darkest
    light = weight * (around - cell.level)
    light = light if ground.haze is None else np.maximum(light - ground.haze, 0)
    counts, noise, down = ground.smooth + light, crop - around, around - cell.darkest
    if share is None:
        noise = weight * noise
    else:
        own = share < weight
        noise = np.where(own, noise, ground.counts - ground.smooth)
        down = np.where(own, down, ground.smooth - darkest)  # how far the noise reaches
    return np.maximum(counts + noise * np.clip((counts - darkest) / np.maximum(down, 1e-6), 0, 1), darkest)


def _glow(
    canvas: Canvas, item: Placement, image: np.ndarray, *, free: np.ndarray, scores: np.ndarray | None, decay: float
) -> None:
    """Add what is seen of a cell above and below its voxels: each further slice shows `decay` times the light.

    Its grain is shot noise, as strong as the cell's own: it adds light and never makes the background darker.

    Args:
        canvas: Where the cells are.
        item: The cell.
        image: The canvas' counts, which the light is added to, (z, y, x).
        free: Share of the light that a voxel shows, (z, y, x).
        scores: Standard normal noise, (z, y, x); `None`: the light is added without its grain.
        decay: Share of a slice's signal that the next slice shows.
    """
    more = int(np.ceil(np.log(0.05) / np.log(decay)))
    light = beyond(item.cell.signal, item.cell.mask, decay, slices=more)
    here, cut = overlap((item.corner[0] - more, *item.corner[1:]), light.shape, canvas.shape)
    owner = canvas.owner[here]
    lit = ((owner == item.label) | (owner == 0)) & (light[cut] > 0) & (free[here] > 0)
    seen = light[cut][lit]
    grainy = seen if scores is None else _shot_noise(seen, item.cell.gain, scores[here][lit])
    image[here][lit] += free[here][lit] * grainy


def _shot_noise(light: np.ndarray, gain: float, scores: np.ndarray) -> np.ndarray:
    """Light with its shot noise: gamma distributed, of variance `gain` times the light, and never below zero.

    Args:
        light: Mean counts, any shape, not negative.
        gain: Counts of one photon.
        scores: Standard normal numbers, of which these become the quantiles (by Wilson and Hilferty's cube).
    """
    photons = np.maximum(light / max(gain, 1e-6), 1e-3)
    root = 1 - 1 / (9 * photons) + scores / (3 * np.sqrt(photons))
    return np.where(light > 0, np.maximum(root, 0) ** 3 * photons * gain, 0)
