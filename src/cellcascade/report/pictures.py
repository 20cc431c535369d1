"""Pictures as a page takes them, and how counts are shown in all of them."""

from dataclasses import dataclass, field

import numpy as np

from cellcascade.report import figures


@dataclass(frozen=True)
class Picture:
    """An image on a page.

    Attributes:
        src: The image as a `data:` address.
        alt: Text for readers who do not see it.
        caption: Text below it.
        width: Width at which it is drawn, pixels.
        overlay: A sheet of equal size on top of it that readers can hide; empty for none.
    """

    src: str = field(repr=False)
    alt: str
    caption: str = ""
    width: int = 0
    overlay: str = field(default="", repr=False)


@dataclass(frozen=True)
class Display:
    """How counts are shown, the same for real and synthetic pictures.

    Attributes:
        window: Counts shown as black and as white.
        power: Exponent: 1 linear, 0.5 square root.
    """

    window: tuple[float, float]
    power: float = 1.0

    @classmethod
    def fitting(cls, window: tuple[float, float], brightness: np.ndarray) -> "Display":
        """The window of a data set; with a square root where most of its cells (n) would be dark, else linear."""
        low, high = window
        dark = len(brightness) and np.median(brightness) < low + 0.3 * (high - low)
        return cls((low, high), 0.5 if dark else 1.0)

    @property
    def text(self) -> str:
        """For captions."""
        kind = "square-root" if self.power == 0.5 else "linear"
        return f"{kind} display, window {self.window[0]:g} to {self.window[1]:g} counts"

    def grey(self, image: np.ndarray) -> np.ndarray:
        """Counts of any shape as 8-bit grey."""
        return figures.tone(image, self.window, self.power)
