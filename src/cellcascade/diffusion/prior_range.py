"""What priors know, and warnings for data sets that are unlike it. Free of torch."""

import logging

import numpy as np

from cellcascade.config.values import BUNDLED
from cellcascade.data.crops import Crops

logger = logging.getLogger(__name__)

WIDTHS = (12.0, 90.0)  # median widths of the cells that priors of textures learn from, pixels
SHARES = (0.3, 0.75)  # widths of the outlines that priors of masks learn from, as shares of the crop's edge


def warn_of_textures(crops: Crops, base: str) -> None:
    """Warn if a prior of textures does not know cells like these.

    Args:
        crops: The crops that it is fine-tuned on.
        base: What `texture.base` names. A prior of one's own may know dark cells; the package's own does not.
    """
    width = round(median_width(crops.mask[crops.widest > 0]))
    dark = float(np.mean(crops.brightness < crops.background))
    found = [] if WIDTHS[0] <= width <= WIDTHS[1] else [f"these are {width} pixels wide"]
    if base == BUNDLED and dark > 0.5:
        found.append(f"{dark:.0%} of these are darker than their background")
    if found:
        light = ", bright on a dark background" if base == BUNDLED else ""
        logger.warning(
            "the prior of textures knows cells %.0f to %.0f pixels wide%s; %s. Fine-tuned on them it may end worse "
            "than a model from nothing: try texture.base: scratch, too",
            *(*WIDTHS, light, ", and ".join(found)),
        )


def warn_of_masks(masks: np.ndarray) -> None:
    """Warn if a prior of masks does not know outlines of this size.

    Args:
        masks: Masks of cells `(n, y, x)`.
    """
    width, size = median_width(masks), masks.shape[-1]
    if not SHARES[0] <= width / size <= SHARES[1]:
        logger.warning(
            "the prior of masks knows cells %g to %g times as wide as their crops; these are %.0f pixels wide in crops "
            "of %d. Fine-tuned on them it may end worse than a model from nothing: set crops.size to about twice their "
            "width, or try mask_ddpm.base: scratch, too",
            *(*SHARES, width, size),
        )


def median_width(masks: np.ndarray) -> float:
    """Median diameter of the circles that are as large as the masks `(n, y, x)`, pixels."""
    return float(np.median(2 * np.sqrt((masks > 0).sum((1, 2)) / np.pi)))
