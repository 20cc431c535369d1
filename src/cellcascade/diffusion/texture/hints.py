"""What the ControlNet of the texture model knows of a cell: its outline, brightness, background and relative area."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cellcascade.data.crops import Crops, to_unit
from cellcascade.geometry.masks import signed_distance

OUTLINE_REACH = 0.125  # distance from the outline that the hint still resolves, as a share of the crop
FARTHEST = 1.5  # times that reach, at which distances are cut off
OUTLINE_PLANES = 2  # mask and distance to the outline come first
CHANNELS = OUTLINE_PLANES + 3


@dataclass(frozen=True)
class CellHints:
    """Hints of n slices of cells, held as masks; `planes` makes what a network reads, a batch at a time.

    Attributes:
        mask: Outlines `(n, y, x)`; everything above 0 is inside.
        levels: Brightness, background and relative area `(n, 3)`, float32, -1 to 1: twice their unit values, less 1.
    """

    mask: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(
        cls, masks: np.ndarray, brightness: np.ndarray, background: np.ndarray, relative_area: np.ndarray
    ) -> "CellHints":
        """Hints of slices of cells.

        Args:
            masks: Outlines `(n, y, x)`.
            brightness: Mean brightness of each cell in its widest slice `(n,)`, unit scale (root of windowed counts).
            background: Background level `(n,)`, unit scale.
            relative_area: Area of each slice relative to its cell's widest one `(n,)`.
        """
        levels = np.stack([brightness, background, relative_area], 1) * 2 - 1
        return cls(masks, levels.astype(np.float32))

    @classmethod
    def of_crops(cls, crops: Crops) -> "CellHints":
        """Hints of real crops."""
        window = crops.record.window
        levels = to_unit(crops.brightness, window), to_unit(crops.background, window)
        return cls.of(crops.mask, *levels, crops.area_ratio)

    @classmethod
    def joined(cls, parts: Sequence["CellHints"]) -> "CellHints":
        """Hints of all slices of some parts, in their order; at least one part."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("mask", "levels")))

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> "CellHints":
        """Hints of some of the slices."""
        return replace(self, mask=self.mask[rows], levels=self.levels[rows])

    @property
    def outline(self) -> np.ndarray:
        """Signed distance to the outline `(n, y, x)`, float32, positive inside, as a share of the reach, cut off."""
        edge = self.mask.shape[-1]
        distance = np.stack([signed_distance(mask) for mask in self.mask]) / (OUTLINE_REACH * edge)
        return distance.clip(-FARTHEST, FARTHEST)

    def planes(self, device: torch.device | str = "cpu") -> Tensor:
        """Mask, distance to the outline, brightness, background, relative area: `(n, 5, y, x)`, all about -1 to 1."""
        outline, levels = (torch.from_numpy(array).to(device) for array in (self.outline, self.levels))
        mask = torch.where(outline > 0, 1.0, -1.0)
        edge = outline.shape[-1]
        return torch.cat([mask[:, None], outline[:, None], levels[:, :, None, None].expand(-1, -1, edge, edge)], 1)

    @property
    def distance(self) -> np.ndarray:
        """Signed distance to the outline `(n, y, x)` in pixels, positive inside, cut off where the hint ends."""
        return self.outline * OUTLINE_REACH * self.mask.shape[-1]

    @property
    def brightness(self) -> np.ndarray:
        """Mean brightness of the cells `(n,)`, as a share of the window's counts."""
        return ((self.levels[:, 0] + 1) / 2) ** 2

    @property
    def contrast(self) -> np.ndarray:
        """Brightness above the background `(n,)`, as a share of the window's counts."""
        return self.brightness - ((self.levels[:, 1] + 1) / 2) ** 2

    @property
    def relative_area(self) -> np.ndarray:
        """Area of each slice relative to its cell's widest one `(n,)`."""
        return (self.levels[:, 2] + 1) / 2


def without_outline(planes: Tensor) -> Tensor:
    """Planes `(n, c, y, x)` that keep brightness, background and relative area but hide where the cell is."""
    blind = planes.clone()
    blind[:, :OUTLINE_PLANES] = 0
    return blind
