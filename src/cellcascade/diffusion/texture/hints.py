"""What the ControlNet of the texture model sees of a cell: its outline, brightness, background and relative area."""

import numpy as np
import torch
from torch import Tensor

from cellcascade.data.crops import Crops, to_unit
from cellcascade.geometry.masks import signed_distance

OUTLINE_REACH = 0.125  # distance from the outline that the hint still resolves, as a share of the crop
OUTLINE_PLANES = 2  # mask and distance to the outline come first
_DISTANCE, _BRIGHTNESS, _BACKGROUND, _AREA = 1, 2, 3, 4


def hints(masks: np.ndarray, brightness: np.ndarray, background: np.ndarray, area_ratio: np.ndarray) -> Tensor:
    """What the ControlNet sees of cells.

    Args:
        masks: Outlines `(n, y, x)`.
        brightness: Mean brightness of each cell in its widest slice `(n,)`, unit scale (root of the windowed counts).
        background: Background level `(n,)`, unit scale.
        area_ratio: Area of each slice relative to its cell's widest one `(n,)`.

    Returns:
        `(n, 5, y, x)`: mask, signed distance to the outline, brightness, background, relative area; all about -1 to 1.
    """
    n, edge, _ = masks.shape
    distance = np.stack([signed_distance(mask) for mask in masks]) / (OUTLINE_REACH * edge)
    levels = np.stack([brightness, background, area_ratio], 1)[:, :, None, None] * 2 - 1
    outline = [(masks[:, None] > 0) * 2.0 - 1, distance[:, None].clip(-1.5, 1.5)]
    planes = np.concatenate([*outline, np.broadcast_to(levels, (n, 3, edge, edge))], 1)
    return torch.from_numpy(planes.astype(np.float32))


def crop_hints(crops: Crops) -> Tensor:
    """Hints `(m, 5, y, x)` of real crops."""
    window = crops.attrs["window"]
    return hints(crops.mask, to_unit(crops.brightness, window), to_unit(crops.background, window), crops.area_ratio)


def without_outline(hints: Tensor) -> Tensor:
    """Hints `(n, c, y, x)` that keep brightness, background and relative area but hide where the cell is."""
    blind = hints.clone()
    blind[:, :OUTLINE_PLANES] = 0
    return blind


def distances(hints: Tensor) -> np.ndarray:
    """Signed distance to the outline `(n, y, x)` in pixels, positive inside, clipped at 1.5 `OUTLINE_REACH`."""
    return hints[:, _DISTANCE].numpy() * OUTLINE_REACH * hints.shape[-1]


def brightnesses(hints: Tensor) -> np.ndarray:
    """Mean brightness of the cells `(n,)`, as a share of the window's counts."""
    return ((hints[:, _BRIGHTNESS, 0, 0].numpy() + 1) / 2) ** 2


def contrasts(hints: Tensor) -> np.ndarray:
    """Brightness above the background `(n,)`, as a share of the window's counts."""
    return brightnesses(hints) - ((hints[:, _BACKGROUND, 0, 0].numpy() + 1) / 2) ** 2


def relative_areas(hints: Tensor) -> np.ndarray:
    """Area of each slice relative to its cell's widest one `(n,)`."""
    return (hints[:, _AREA, 0, 0].numpy() + 1) / 2
