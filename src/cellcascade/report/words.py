"""Numbers and names as a page writes them."""

import re

import numpy as np
import pandas as pd

UNITS = {"area": " (pixels)", "major_axis_length": " (pixels)", "power_spectrum_db": " (largest deviation)"}
READABLE = {
    " um": " (µm)",
    " db": ", dB",
    "ring mean": "mean of the ring outside",
    "otsu iou": "IoU with Otsu's threshold",
    "std": "std.",
}


def named(regime: str) -> str:
    """The name of a regime, e.g. `Copy-paste`."""
    return regime.replace("_", "-").capitalize()


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, typeset; no sign where it rounds to 0."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def plain(value: float, form: str = ".4g") -> str:
    """A number as text; a dash where there is none."""
    return format(value, form).replace("-", "−") if np.isfinite(value) else "–"


def interval(low: float, high: float) -> str:
    """The 95 % interval of a difference; empty where a single training gives none."""
    return f"[{signed(low)}, {signed(high)}]" if np.isfinite([low, high]).all() else ""


def with_spread(mean: float, std: float) -> str:
    """Mean ± standard deviation; the mean alone where there is no deviation."""
    return plain(mean) + (f" ± {plain(std, '.3g')}" if np.isfinite(std) else "")


def mean_and_spread(values: pd.Series, form: str = ".3f") -> str:
    """Mean ± sample standard deviation; the mean alone of a single value."""
    spread = f" ± {format(values.std(), form)}" if len(values) > 1 else ""
    return f"{format(values.mean(), form)}{spread}" if len(values) else "–"


def counted(count: int, what: str) -> str:
    """A number with what it counts, e.g. `1 seed`, `3 seeds`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def readable(name: str) -> str:
    """The name of a property as text, e.g. `neighbour_distance_um` as `neighbour distance (µm)`."""
    text = name.removesuffix("_dim").replace("_", " ") + UNITS.get(name, "") + ", dim cells" * name.endswith("_dim")
    text = re.sub(r"slice correlation (\d)", r"slice correlation, \1 apart", text)
    for short, word in READABLE.items():
        text = text.replace(short, word)
    return text
