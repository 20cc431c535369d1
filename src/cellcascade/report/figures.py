"""Images of the pages as arrays: montages, outlines, labels in colour, orthogonal planes, surfaces."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform, map_coordinates
from skimage.color import label2rgb
from skimage.segmentation import find_boundaries
from skimage.util import img_as_ubyte
from skimage.util import montage as join_tiles

GUTTER = 24  # grey of the lines between tiles: darker than most backgrounds, lighter than black
OUTLINE = (255, 196, 61, 255)  # red, green, blue, opacity
LIGHT = (-0.75, -0.5, -0.43)  # where surfaces are lit from (z, y, x)


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
        columns: Images per row.
        scale: Whole number by which pixels are enlarged.
        gap: Pixels between the tiles.

    Returns:
        One image `(y, x)`, uint8.
    """
    return tile([enlarge(tone(image, window, power), scale) for image in images], columns=columns, gap=gap, fill=GUTTER)


def tile(images: Sequence[np.ndarray], *, columns: int, gap: int, fill: int) -> np.ndarray:
    """Arrange images `(n, y, x)` or `(n, y, x, channel)` in rows, with gaps of colour `fill` around each."""
    columns = min(columns, len(images))
    grid, channels = (math.ceil(len(images) / columns), columns), images[0].shape[2:]
    return join_tiles(
        np.stack(images),
        grid_shape=grid,
        padding_width=gap,
        fill=[fill] * math.prod(channels),
        channel_axis=-1 if channels else None,
    )


def outlines(masks: Sequence[np.ndarray], *, columns: int = 8, scale: int = 1, gap: int = 2) -> np.ndarray:
    """Transparent sheet with the outlines of masks, to be put on top of a `montage` of the same layout.

    Returns:
        Red, green, blue, opacity `(y, x, 4)`, uint8; the line is the outermost pixel of the mask.
    """
    rims = [find_boundaries(enlarge(np.asarray(mask) > 0, scale), mode="inner") for mask in masks]
    sheets = [rim[..., None] * np.array(OUTLINE, np.uint8) for rim in rims]
    return tile(sheets, columns=columns, gap=gap, fill=0)


def label_overlay(grey: np.ndarray, labels: np.ndarray, opacity: float = 0.35) -> np.ndarray:
    """Put labels in colour on top of a grey image.

    Args:
        grey: `(y, x)`, uint8.
        labels: `(y, x)`, 0 is background.
        opacity: Share of the colour inside a label; its rim is almost fully coloured.

    Returns:
        Red, green, blue `(y, x, 3)`, uint8.
    """
    inside, rim = (label2rgb(labels, grey, alpha=alpha, bg_color=None) for alpha in (opacity, 0.9))
    at_rim = find_boundaries(labels, mode="inner")
    return img_as_ubyte(np.where(at_rim[..., None], rim, inside))


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
    field = _turned(sdf, math.radians(turn), math.radians(tilt), size)
    inside = field > 0
    hit, first = inside.any(0), inside.argmax(0)
    rows, columns = np.nonzero(hit)
    depth = first[hit].astype(np.float32)
    here, before = field[first[hit], rows, columns], field[np.maximum(first[hit] - 1, 0), rows, columns]
    depth -= np.where(first[hit] > 0, here / np.maximum(here - before, 1e-6), 0)
    normals = _normals(field, np.stack([depth, rows, columns]))
    picture = np.zeros((size, size), np.uint8)
    picture[hit] = np.round(45 + 205 * np.clip(np.array(LIGHT) @ normals, 0, 1)).astype(np.uint8)
    return picture


def _turned(sdf: np.ndarray, turn: float, tilt: float, size: int) -> np.ndarray:
    """A volume (z, y, x) turned about y and tipped about x by radians, resampled to `size` pixels along y and x."""
    turned = np.array([[math.cos(turn), 0, -math.sin(turn)], [0, 1, 0], [math.sin(turn), 0, math.cos(turn)]])
    tipped = np.array([[math.cos(tilt), math.sin(tilt), 0], [-math.sin(tilt), math.cos(tilt), 0], [0, 0, 1]])
    edge = len(sdf)
    matrix = (turned @ tipped) * [1, edge / size, edge / size]
    offset = (edge - 1) / 2 - matrix @ ((np.array([edge, size, size]) - 1) / 2)
    return affine_transform(sdf.astype(np.float32), matrix, offset, (edge, size, size), order=1, mode="nearest")


def _normals(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Outward unit normals (3, n) at points (3, n) of a field (z, y, x) that is positive inside."""
    depth, size = field.shape[:2]
    normals = -np.stack(
        [
            map_coordinates(field, points + step, order=1, mode="nearest")
            - map_coordinates(field, points - step, order=1, mode="nearest")
            for step in np.diag([1, size / depth, size / depth])[:, :, None]
        ]
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=0), 1e-6)


def image_uri(image: np.ndarray) -> str:
    """A grey, RGB or RGBA image (uint8) as a `data:` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
