"""What the ControlNet of the texture model knows of a cell: outline, brightness, background, relative area, grain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cellcascade.data.crops import Crops, to_unit
from cellcascade.geometry.masks import signed_distance
from cellcascade.metrics.grain import measure_grain

OUTLINE_REACH = 16.0  # distance from the outline that is 1 in the hint, pixels: the same in crops of every size
FARTHEST = 1.5  # times that reach, at which distances are cut off
OUTLINE_PLANES = 2  # mask and distance to the outline come first
LEVELS = 5
CHANNELS = OUTLINE_PLANES + LEVELS
FINE_GRAIN, GRAIN_RANGE = 0.02, 8.0  # strength of grain that is 0 in the hint, unit scale; times that is 1


@dataclass(frozen=True)
class CellHints:
    """Hints of n slices of cells, held as masks; `planes` makes what a network reads, a batch at a time.

    Attributes:
        mask: Outlines `(n, y, x)`; everything above 0 is inside.
        levels: Brightness, background, relative area, strength and reach of the grain `(n, 5)`, float32, about -1 to 1.
    """

    mask: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(
        cls,
        masks: np.ndarray,
        brightness: np.ndarray,
        background: np.ndarray,
        relative_area: np.ndarray,
        grain: np.ndarray,
    ) -> "CellHints":
        """Hints of slices of cells.

        Args:
            masks: Outlines `(n, y, x)`.
            brightness: Mean brightness of each cell in its widest slice `(n,)`, unit scale (root of windowed counts).
            background: Background level `(n,)`, unit scale.
            relative_area: Area of each slice relative to its cell's widest one `(n,)`.
            grain: Strength (unit scale) and reach of each slice's grain, see `metrics.grain` `(n, 2)`.
        """
        strength, reach = np.asarray(grain, np.float32).T
        strength = np.log(np.maximum(strength, 1e-6) / FINE_GRAIN) / np.log(GRAIN_RANGE)
        of_light = np.stack([brightness, background, relative_area], 1) * 2 - 1
        levels = np.column_stack([of_light, strength.clip(-FARTHEST, FARTHEST), reach])
        return cls(masks, levels.astype(np.float32))

    @classmethod
    def of_crops(cls, crops: Crops) -> "CellHints":
        """Hints of real crops."""
        window = crops.record.window
        levels = to_unit(crops.brightness, window), to_unit(crops.background, window)
        grain = [measure_grain(image, mask) for image, mask in zip(to_unit(crops.image, window), crops.mask)]
        return cls.of(crops.mask, *levels, crops.area_ratio, np.array(grain))

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
        distance = np.stack([signed_distance(mask) for mask in self.mask]) / OUTLINE_REACH
        return distance.clip(-FARTHEST, FARTHEST)

    def planes(self, device: torch.device | str = "cpu") -> Tensor:
        """Mask, distance to the outline, and the levels everywhere: `(n, 7, y, x)`, all about -1 to 1."""
        outline, levels = (torch.from_numpy(array).to(device) for array in (self.outline, self.levels))
        mask = torch.where(outline > 0, 1.0, -1.0)
        edge = outline.shape[-1]
        return torch.cat([mask[:, None], outline[:, None], levels[:, :, None, None].expand(-1, -1, edge, edge)], 1)

    @property
    def distance(self) -> np.ndarray:
        """Signed distance to the outline `(n, y, x)` in pixels, positive inside, cut off where the hint ends."""
        return self.outline * OUTLINE_REACH

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
    """Planes `(n, c, y, x)` that keep the levels but hide where the cell is."""
    blind = planes.clone()
    blind[:, :OUTLINE_PLANES] = 0
    return blind
