"""Images of another exposure, focus and noise than the annotated frames: a network learns not to depend on them."""

import numpy as np
from scipy import ndimage

from cellcascade.config.settings import Randomise


def randomise(
    light: np.ndarray,
    background: np.ndarray,
    settings: Randomise,
    *,
    across: float,
    generator: np.random.Generator,
    twin: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw contrast, blur and noise of an image, and apply them; the labels stay as they are.

    Args:
        light: Counts of the image, (z, y, x).
        background: Counts of its background without cells, (z, y, x): its median stays, its spread is the noise.
        settings: The `population.randomise` block.
        across: Distance of slices, pixels of the plane.
        generator: Source of randomness; nothing is drawn where every range is a single value.
        twin: Counts of the image without noise, (z, y, x), to which all but the noise is applied; `None`: no twin.

    Returns:
        Counts, float32, (z, y, x), and the twin's; `light` and `twin` themselves where nothing changes.
    """
    contrast, blur, noise = (_drawn(part, generator) for part in (settings.contrast, settings.blur, settings.noise))
    level = np.float32(np.median(background))
    light = _exposed(light, level, contrast=contrast, blur=blur, across=across)
    twin = None if twin is None else _exposed(twin, level, contrast=contrast, blur=blur, across=across)
    if noise > 1:
        more = float(background.std() * np.sqrt(noise**2 - 1))
        light = light + generator.standard_normal(light.shape, np.float32) * np.float32(more)
    return light, twin


def _exposed(light: np.ndarray, level: np.float32, *, contrast: float, blur: float, across: float) -> np.ndarray:
    """Counts (z, y, x) of another contrast above a level, and blurred."""
    if contrast != 1:
        light = level + np.float32(contrast) * (light - level)
    if blur:
        light = ndimage.gaussian_filter(light, (blur / across if len(light) > 1 else 0, blur, blur))
    return light


def _drawn(part: tuple[float, float], generator: np.random.Generator) -> float:
    low, high = part
    return float(generator.uniform(low, high)) if low < high else low
