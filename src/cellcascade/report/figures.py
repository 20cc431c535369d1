"""Pictures of the report: montages, outlines, label overlays, orthogonal planes, surfaces, charts."""

import base64
import colorsys
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import affine_transform, binary_erosion, map_coordinates

GUTTER = 24  # grey of the lines between tiles: darker than most backgrounds, lighter than black
REAL, SYNTHETIC, INK, PAPER = "#7b8794", "#c8553d", "#1f2933", "#fbfaf8"


def tone(image: np.ndarray, window: tuple[float, float], power: float = 1.0) -> np.ndarray:
    """Map counts to 8-bit grey.

    Args:
        image: Counts, any shape.
        window: Counts shown as black and as white.
        power: Exponent of the display: 1 linear, 0.5 square root.

    Returns:
        The same shape, uint8.
    """
    low, high = window
    share = np.clip((np.asarray(image, np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return np.round(255 * share**power).astype(np.uint8)


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Repeat the pixels of an image `(y, x, ...)` `scale` times along y and x."""
    return image.repeat(scale, 0).repeat(scale, 1)


def montage(
    images: Sequence[np.ndarray],
    *,
    window: tuple[float, float],
    power: float = 1.0,
    columns: int = 8,
    scale: int = 1,
    gap: int = 2,
) -> np.ndarray:
    """Arrange images of equal size in rows.

    Args:
        images: Images `(n, y, x)`.
        window: Counts shown as black and as white; `(0, 1)` for masks.
        power: Exponent of the display: 1 linear, 0.5 square root.
        columns: Images a row.
        scale: Whole number by which pixels are enlarged.
        gap: Pixels between the tiles.

    Returns:
        One image `(y, x)`, uint8.
    """
    return tile([enlarge(tone(image, window, power), scale) for image in images], columns=columns, gap=gap, fill=GUTTER)


def tile(images: Sequence[np.ndarray], *, columns: int, gap: int, fill: int) -> np.ndarray:
    """Arrange images `(n, y, x)` or `(n, y, x, channel)` in rows with gaps of colour `fill`."""
    columns = min(columns, len(images))
    height, width, *channels = images[0].shape
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *channels), fill, images[0].dtype)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def outlines(masks: Sequence[np.ndarray], *, columns: int = 8, scale: int = 1, gap: int = 2) -> np.ndarray:
    """Transparent sheet with the outlines of masks, to be laid over `montage` of the same layout.

    Returns:
        Red, green, blue, opacity `(y, x, 4)`, uint8; the line is the outermost pixel of the mask.
    """
    sheets = []
    for mask in masks:
        inside = enlarge(np.asarray(mask) > 0, scale)
        sheet = np.zeros((*inside.shape, 4), np.uint8)
        sheet[inside & ~binary_erosion(inside)] = (255, 196, 61, 255)
        sheets.append(sheet)
    return tile(sheets, columns=columns, gap=gap, fill=0)


def label_colours(count: int) -> np.ndarray:
    """Colours `(count + 1, 3)` of labels, uint8; 0 is black, neighbours in number differ in hue."""
    hues = [colorsys.hsv_to_rgb(i * 0.61803 % 1, 0.55 + 0.3 * (i % 2), 1.0) for i in range(count)]
    return np.round(255 * np.array([(0, 0, 0), *hues])).astype(np.uint8)


def label_overlay(grey: np.ndarray, labels: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """Lay labels in colour over a grey image.

    Args:
        grey: `(y, x)`, uint8.
        labels: `(y, x)`, 0 is background.
        opacity: Share of the colour inside a label; its rim is fully coloured.

    Returns:
        Red, green, blue `(y, x, 3)`, uint8.
    """
    _, numbers = np.unique(np.append(labels, 0), return_inverse=True)
    numbers = numbers[:-1].reshape(labels.shape)
    colours = label_colours(int(numbers.max(initial=0)))[numbers].astype(np.float32)
    rim = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        step = np.diff(labels.astype(np.int64), axis=axis) != 0
        rim |= np.insert(step, 0, False, axis) | np.insert(step, step.shape[axis], False, axis)
    weight = np.where(labels > 0, np.where(rim, 0.9, opacity), 0.0)[..., None]
    return np.round(grey[..., None] * (1 - weight) + colours * weight).astype(np.uint8)


def orthogonal_planes(
    volume: np.ndarray, position: tuple[int, int, int], voxel_size_um: tuple[float, ...], scale: int = 1
) -> list[np.ndarray]:
    """Planes XY, XZ and YZ through a voxel, at equal micrometres per pixel along all axes.

    Args:
        volume: `(z, y, x)`.
        position: Index `(z, y, x)` of the voxel.
        voxel_size_um: Voxel size z, y, x.
        scale: Whole number by which y and x are enlarged.

    Returns:
        XY `(y, x)`, XZ `(z, x)`, YZ `(y, z)`; nearest neighbour, so labels stay labels.
    """
    z, y, x = position
    depth = max(1, round(volume.shape[0] * voxel_size_um[0] / voxel_size_um[-1] * scale))
    rows = np.minimum((np.arange(depth) + 0.5) * volume.shape[0] / depth, volume.shape[0] - 1).astype(int)
    return [
        enlarge(volume[z], scale),
        volume[rows, y].repeat(scale, 1),
        volume[rows, :, x].T.repeat(scale, 0),
    ]


def join_planes(planes: Sequence[np.ndarray], gap: int = 4, fill: int = 250) -> np.ndarray:
    """Put XZ below and YZ right of XY."""
    front, below, right = planes
    height, width = front.shape[0] + gap + below.shape[0], front.shape[1] + gap + right.shape[1]
    sheet = np.full((height, width, *front.shape[2:]), fill, front.dtype)
    sheet[: front.shape[0], : front.shape[1]] = front
    sheet[front.shape[0] + gap :, : front.shape[1]] = below
    sheet[: front.shape[0], front.shape[1] + gap :] = right
    return sheet


def render_surface(sdf: np.ndarray, *, turn: float, tilt: float = 0.0, size: int = 128) -> np.ndarray:
    """Shade the surface of a cell: orthographic rays, the first crossing of zero, Lambert's law.

    Args:
        sdf: Signed distance `(z, y, x)`, positive inside, three equal edges; z points away from the viewer.
        turn: Degrees by which the cell is turned about y; 0 is the view of its source mask.
        tilt: Degrees by which it is then tipped towards the viewer, about x.
        size: Edge of the image, pixels.

    Returns:
        Grey `(y, x)`, uint8; 0 where no surface is hit.
    """
    a, b = math.radians(turn), math.radians(tilt)
    turned = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    tipped = np.array([[math.cos(b), math.sin(b), 0], [-math.sin(b), math.cos(b), 0], [0, 0, 1]])
    edge = len(sdf)
    matrix = (turned @ tipped) * [1, edge / size, edge / size]
    offset = (edge - 1) / 2 - matrix @ ((np.array([edge, size, size]) - 1) / 2)
    field = affine_transform(sdf.astype(np.float32), matrix, offset, (edge, size, size), order=1, mode="nearest")
    inside = field > 0
    hit, first = inside.any(0), inside.argmax(0)
    rows, columns = np.nonzero(hit)
    depth = first[hit].astype(np.float32)
    here, before = field[first[hit], rows, columns], field[np.maximum(first[hit] - 1, 0), rows, columns]
    depth -= np.where(first[hit] > 0, here / np.maximum(here - before, 1e-6), 0)
    points = np.stack([depth, rows, columns])
    normal = -np.stack(
        [
            map_coordinates(field, points + step, order=1, mode="nearest")
            - map_coordinates(field, points - step, order=1, mode="nearest")
            for step in np.diag([1, size / edge, size / edge])[:, :, None]
        ]
    )
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-6)
    light = np.array([-0.75, -0.5, -0.43])
    picture = np.zeros((size, size), np.uint8)
    picture[hit] = np.round(45 + 205 * np.clip(light @ normal, 0, 1)).astype(np.uint8)
    return picture


def histograms(panels: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Distributions of real (filled) and synthetic (line) values side by side, as densities.

    Args:
        panels: Title with unit, real values, synthetic values.
    """
    figure = Figure(figsize=(2.9 * len(panels), 2.5), layout="constrained")
    for axes, (title, real, synthetic) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        both = np.concatenate([real, synthetic])
        low, high = np.percentile(both, [0.5, 99.5]) if len(both) else (0, 1)
        bins = int(np.clip(2 * math.sqrt(min(len(real), len(synthetic))), 6, 30))
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        for values, style in (
            (real, {"histtype": "stepfilled", "color": REAL, "alpha": 0.45, "label": "real"}),
            (synthetic, {"histtype": "step", "color": SYNTHETIC, "lw": 1.6, "label": "synthetic"}),
        ):
            if len(values):
                axes.hist(np.clip(values, edges[0], edges[-1]), bins=edges, density=True, **style)
        quiet(axes, title)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def loss_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss against step, one panel a model; its logged values and their running median."""
    figure = Figure(figsize=(3.8 * len(logs), 2.5), layout="constrained")
    for axes, (name, log) in zip(figure.subplots(1, len(logs), squeeze=False)[0], logs.items()):
        axes.plot(log["step"], log["loss"], color=SYNTHETIC, alpha=0.35, lw=1, marker="." if len(log) < 30 else "")
        axes.plot(log["step"], log["loss"].rolling(9, center=True, min_periods=1).median(), color=SYNTHETIC, lw=1.6)
        if (log["loss"] > 0).all():
            axes.set_yscale("log")
        quiet(axes, name)
        axes.set_xlabel("step", fontsize=8, color=INK)
        axes.set_ylabel("loss", fontsize=8, color=INK)
    return figure


def quiet(axes: Axes, title: str) -> None:
    """Give a panel a small title and take away what does not carry data."""
    axes.set_facecolor(PAPER)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(which="both", labelsize=8, colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def image_uri(image: np.ndarray) -> str:
    """A grey, RGB or RGBA image (uint8) as a `data:` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def figure_uri(figure: Figure) -> str:
    """A matplotlib figure as a `data:` address of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor=PAPER, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
