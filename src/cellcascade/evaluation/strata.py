"""How well the dim, small and elongated reference objects are segmented, and those that touch others or are cut."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from skimage.measure import regionprops

from cellcascade.data.contacts import touching_pairs
from cellcascade.metrics.images import at_border

SHARE = 0.2  # of the objects of a reference that are its dim, small and elongated ones
STRATA = ("dim", "small", "elongated", "touching", "border")
TRAITS = ("brightness", "size", "roundness", "touching", "border")


def object_traits(image: np.ndarray, labels: np.ndarray, voxel_size_um: Sequence[float]) -> pd.DataFrame:
    """What is special about the objects of a reference image.

    Args:
        image: Counts, ([z,] y, x).
        labels: Labels of equal shape, 0 is background.
        voxel_size_um: Size of a pixel, ([z,] y, x).

    Returns:
        A row per label, ascending: `brightness` (mean counts above the median of the background), `size` (pixels),
        `roundness` (smallest over largest axis of the ellipse of equal second moments, 0 to 1), `touching` (within 2
        pixels of another object) and `border` (cut by the border of the plane).
    """
    outside = image[labels == 0]
    level = np.median(outside) if outside.size else 0.0
    touching, cut = np.unique(touching_pairs(labels, voxel_size_um).labels), at_border(labels)
    rows = []
    for cell in regionprops(labels, image, spacing=tuple(voxel_size_um)):
        spread = np.asarray(cell.inertia_tensor_eigvals)
        roundness = _roundness(spread) if cell.num_pixels > 1 else 1.0
        where = cell.label in touching, cell.label in cut
        rows.append((float(cell.intensity_mean) - level, int(cell.num_pixels), roundness, *where))
    return pd.DataFrame(rows, columns=list(TRAITS))


def seg_by_stratum(traits: pd.DataFrame, jaccards: np.ndarray) -> dict[str, float]:
    """SEG of some of the reference objects.

    Args:
        traits: Rows of `object_traits` of all objects.
        jaccards: IoU of each object with its match, in the same order `(n)`.

    Returns:
        By name of `STRATA`, the mean IoU of the fifth of the objects that is dimmest, smallest or least round, and of
        those that touch others or are cut by the border; NaN where there are none.
    """
    limits = traits[["brightness", "size", "roundness"]].quantile(SHARE)
    chosen = {
        "dim": traits["brightness"] <= limits["brightness"],
        "small": traits["size"] <= limits["size"],
        "elongated": traits["roundness"] <= limits["roundness"],
        "touching": traits["touching"],
        "border": traits["border"],
    }
    return {name: float(jaccards[rows].mean()) if rows.any() else float("nan") for name, rows in chosen.items()}


def _roundness(spread: np.ndarray) -> float:
    """Smallest over largest axis of a body, from the moments of inertia about its axes (n axes)."""
    variance = spread.sum() / (len(spread) - 1) - spread  # along each axis
    return float(np.sqrt(max(variance.min(), 0) / variance.max())) if variance.max() > 0 else 1.0
