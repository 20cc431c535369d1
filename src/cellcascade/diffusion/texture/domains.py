"""Imaginary data sets, by which a texture prior learns what data sets have in common and how they differ.

A data set is seen by the texture model in its own window of counts, its own crop size and its own scales of the
pixel channels. A prior must be ready for any of them. So the crops of real data sets are turned into many imaginary
ones: other sizes of pixels, blur, noise, window and size of crop, the same for all cells of one; within it, cells are
turned and stretched a little.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cellcascade.data.crops import Crops
from cellcascade.data.inpainting import clear_of
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.metrics.grain import measure_grain

SIZES = {32: (11.0, 27.0), 64: (12.0, 56.0), 128: (26.0, 104.0)}  # sizes of crops; median diameters in them, pixels
CELLS = 40  # of an imaginary data set
ENLARGED = 2.5  # times at most: beyond that there is nothing to be seen in a cell
FREE = 1  # pixels that must be free between a cell and the edge of the crop
SMALLEST = 40  # area of a cell, pixels
UNTURNED = 0.4  # share of the imaginary data sets whose pixels are the camera's, where sizes allow it
STRETCH = 0.1  # of a cell along each axis, at most, as a logarithm
BLURS, GAINS = (0.3, 1.3), (0.4, 1.1)  # ranges of widths, pixels, and of light
NOISES, REACHES = (0.004, 0.06), (0.4, 0.8)  # of strengths, shares of the window, and of widths, pixels
STRONG, STRONG_NOISES = 0.36, (0.03, 0.15)  # share of the data sets that are as noisy as live cells, mostly shot noise


@dataclass(frozen=True)
class Look:
    """How an imaginary data set looks.

    Attributes:
        size: Edge of its crops, pixels.
        zoom: Its pixels per pixel of the real data set.
        turned: Whether cells are turned by any angle and stretched; else they keep the camera's own grain.
        blur: Width of an added Gaussian blur, pixels.
        gain: Light at the upper end of the real window, as a share of its own.
        varied: Standard deviation of the logarithm of a gain of each cell's own.
        noise: Standard deviation of added noise at full light, a share of the window.
        reach: Width of a Gaussian blur of that noise, pixels; 0 for none.
        shot: Share of the noise's variance that grows with the light.
    """

    size: int
    zoom: float = 1.0
    turned: bool = True
    blur: float = 0.0
    gain: float = 1.0
    varied: float = 0.0
    noise: float = 0.0
    reach: float = 0.0
    shot: float = 0.0


@dataclass(frozen=True)
class Gallery:
    """Crops as a texture model learns from them.

    Attributes:
        image: Crops `(n, y, x)`, unit scale (root of windowed counts), float16.
        hints: Their hints.
        source: Number of the real crop that each was made from `(n,)`.
    """

    image: np.ndarray
    hints: CellHints
    source: np.ndarray


def draw_look(crops: Crops, generator: np.random.Generator) -> Look | None:
    """Draw a look that suits the cells of a real data set; `None` if the size of crop that was drawn does not.

    Args:
        crops: Crops of the real data set.
        generator: Source of randomness.
    """
    size = int(generator.choice(list(SIZES)))
    diameter = float(np.median(2 * np.sqrt(crops.mask[crops.widest > 0].sum((1, 2)) / np.pi)))
    smallest = max(size / crops.mask.shape[-1], SIZES[size][0] / diameter)
    largest = min(ENLARGED, SIZES[size][1] / diameter)
    if smallest > largest:
        return None
    zoom, turned = _between(generator, smallest, largest), True
    if smallest <= 1 <= largest and generator.random() < UNTURNED:
        zoom, turned = 1.0, False
    strong = generator.random() < STRONG
    noisy = strong or generator.random() < 0.5
    return Look(
        size=size,
        zoom=zoom,
        turned=turned,
        blur=float(generator.uniform(*BLURS)) if generator.random() < 0.3 else 0.0,
        gain=_between(generator, *GAINS),
        varied=0.2 if turned else 0.0,
        noise=_between(generator, *(STRONG_NOISES if strong else NOISES)) if noisy else 0.0,
        reach=float(generator.uniform(*REACHES)) if generator.random() < 0.3 else 0.0,
        shot=1 - 0.4 * float(generator.random()) ** 2 if strong else float(generator.random()),
    )


def _between(generator: np.random.Generator, low: float, high: float) -> float:
    """A number between two, whose logarithm is evenly spread."""
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


def imagine(crops: Crops, rows: np.ndarray, look: Look, generator: np.random.Generator) -> Gallery | None:
    """Let crops look different, and measure their hints anew; `None` if no cell is left.

    Args:
        crops: Real crops.
        rows: Which of them `(n,)`; one may come several times.
        look: How they will look; cells that then touch the edge of the crop are left out.
        generator: Source of randomness.
    """
    made = [(int(i), crop) for i in rows if (crop := _imagined(crops, int(i), look, generator))]
    if not made:
        return None
    light, masks = (np.stack([crop[part] for _, crop in made]) for part in (0, 1))
    source, light = np.array([i for i, _ in made]), _with_noise(light, look, generator)
    unit = np.sqrt(light.clip(0, 1)).astype(np.float32)
    inside = np.array([each[mask > 0].mean() for each, mask in zip(light, masks)]) / _share_of_widest(crops, source)
    outside = np.array([np.median(each[clear]) for each, clear in zip(light, map(_background, masks))])
    grain = np.array([measure_grain(each, mask) for each, mask in zip(unit, masks)])
    brightness, background = (np.sqrt(each.clip(0, 1)) for each in (inside, outside))
    return Gallery(
        unit.astype(np.float16), CellHints.of(masks, brightness, background, crops.area_ratio[source], grain), source
    )


def _share_of_widest(crops: Crops, rows: np.ndarray) -> np.ndarray:
    """Mean counts of slices over those of their cells' widest slices, which are what the hint of brightness tells."""
    own = np.array([crops.image[i][crops.mask[i] > 0].mean() for i in rows])
    return own / np.maximum(crops.brightness[rows], 1e-3)


def _background(mask: np.ndarray) -> np.ndarray:
    """Where a crop shows background alone; where it shows none, all that is outside the cell."""
    clear = clear_of(mask)
    return clear if clear.any() else mask == 0


def _imagined(crops: Crops, i: int, look: Look, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Light (a share of the window) and mask of one cell `(y, x)`; `None` if it is too small or touches the edge."""
    low, high = crops.record.window
    light, mask = (crops.image[i].astype(np.float32) - low) / (high - low), crops.mask[i]
    light, mask = _turned(light, mask, look, generator) if look.turned else _cut(light, mask, look.size)
    edge = np.pad(np.zeros((look.size - 2 * FREE,) * 2, bool), FREE, constant_values=True)
    if (mask & edge).any() or mask.sum() < SMALLEST:
        return None
    light = ndimage.gaussian_filter(light, look.blur) if look.blur else light
    own = np.exp(generator.normal(0, look.varied)) if look.varied else 1.0
    return light * look.gain * own, mask.astype(np.uint8)


def _cut(light: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a crop as it is."""
    start = (mask.shape[0] - size) // 2
    middle = (slice(start, start + size),) * 2
    return light[middle], mask[middle] > 0


def _turned(
    light: np.ndarray, mask: np.ndarray, look: Look, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A crop turned by any angle, in other pixels, and stretched by up to a tenth along each axis."""
    angle = generator.uniform(0, 2 * np.pi)
    zooms = look.zoom * np.exp(generator.uniform(-STRETCH, STRETCH, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(1 / zooms)
    offset = (np.array(mask.shape) - 1) / 2 - matrix @ np.full(2, (look.size - 1) / 2)
    if (width := 0.45 * (1 / look.zoom - 1)) > 0:  # against aliasing
        light = ndimage.gaussian_filter(light, width)
    soft, shape = ndimage.gaussian_filter(mask.astype(np.float32), 0.7), (look.size,) * 2
    light = ndimage.affine_transform(light, matrix, offset=offset, output_shape=shape, order=3, mode="mirror")
    soft = ndimage.affine_transform(soft, matrix, offset=offset, output_shape=shape, order=1)
    return light, soft > 0.5


def _with_noise(light: np.ndarray, look: Look, generator: np.random.Generator) -> np.ndarray:
    """Light `(n, y, x)` with the noise of the look."""
    if not look.noise:
        return light
    noise = generator.standard_normal(light.shape, dtype=np.float32)
    if look.reach:
        noise = ndimage.gaussian_filter(noise, look.reach, axes=(1, 2))
        noise /= noise.std()
    return light + noise * look.noise * np.sqrt(1 - look.shot + look.shot * light.clip(0, 1))
