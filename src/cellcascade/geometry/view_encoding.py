"""Images of the multiview model: smooth encodings of a cell's silhouette and depth, on few pixels.

Channel 0 is the signed distance to the silhouette, positive inside, in half widths of the crop. With depth there are
two more: the middle of the cell along the ray, and the square of half its thickness, which near the silhouette falls
linearly to 0, as distances do, where thickness itself falls steeply. Both are in half widths of the crop; front and
back are middle -/+ half the thickness.
"""

from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cellcascade.geometry.masks import signed_distance

Surface = Literal["silhouette", "depth"]
CHANNELS: dict[Surface, int] = {"silhouette": 1, "depth": 3}
FADE = 0.1  # half widths of the crop over which the middle, unknown outside the silhouette, falls to 0
THINNEST = 0.1  # half thickness, in half widths of the crop, from which depth is trusted


def distance_images(masks: np.ndarray, resolution: int) -> np.ndarray:
    """Signed distance to the outline of binary images, averaged to fewer pixels.

    Args:
        masks: `(..., y, x)`, square.
        resolution: Edge of the result, pixels.

    Returns:
        `(..., resolution, resolution)` float32, positive inside, in half widths of the crop.
    """
    edge = masks.shape[-1]
    flat = np.stack([signed_distance(mask) for mask in masks.reshape(-1, edge, edge)]) / (edge / 2)
    return _averaged(flat, resolution).reshape(*masks.shape[:-2], resolution, resolution).astype(np.float32)


def depth_images(inside: np.ndarray, depths: np.ndarray, resolution: int) -> np.ndarray:
    """The two channels of depth.

    Args:
        inside: Silhouettes `(..., y, x)`.
        depths: Front and back of the cell `(..., 2, y, x)`.
        resolution: Edge of the result, pixels.

    Returns:
        `(..., 2, resolution, resolution)` float32: middle, and squared half thickness.
    """
    edge = inside.shape[-1]
    seen, ends = inside.reshape(-1, edge, edge), depths.reshape(-1, 2, edge, edge)
    share = _averaged(seen.astype(np.float32), resolution)
    middle = _averaged(ends.mean(1) * seen, resolution) / np.maximum(share, 1e-6)
    squared = _averaged(((ends[:, 1] - ends[:, 0]) / 2) ** 2 * seen, resolution)
    for image, known in zip(middle, share > 0):
        if known.any():
            far, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
            image[:] = image[tuple(nearest)] * np.exp(-((far * 2 / resolution / FADE) ** 2))
    return np.stack([middle, squared], 1).reshape(*depths.shape[:-2], resolution, resolution).astype(np.float32)


def front_and_back(images: Tensor) -> tuple[Tensor, Tensor]:
    """Front and back of cells, decoded from view images.

    Args:
        images: All three channels `(..., 3, y, x)`.

    Returns:
        Front and back `(..., 2, y, x)`, and where they can be trusted `(..., y, x)`: inside, and not at the rim.
    """
    distance, middle, squared = images.unbind(-3)
    half = squared.clamp(min=0).sqrt()
    return torch.stack([middle - half, middle + half], -3), (distance > 0) & (half > THINNEST)


def _averaged(images: np.ndarray, resolution: int) -> np.ndarray:
    """Images `(n, y, x)` averaged to `(n, resolution, resolution)`: in blocks if they divide, else by interpolation."""
    step, rest = divmod(images.shape[-1], resolution)
    if step and not rest:
        return images.reshape(-1, resolution, step, resolution, step).mean((2, 4))
    given = torch.from_numpy(images.astype(np.float32))[None]
    return functional.interpolate(given, size=(resolution,) * 2, mode="bilinear", antialias=True)[0].numpy()
