"""Does a texture follow its outline? How often a pixel inside is brighter than one as near outside, beside real cells.

This needs no threshold of brightness and hardly depends on contrast or grain: dim real cells reach 0.9, textures that
lie a radius beside their outline 0.5 to 0.7, and 0.5 is chance.
"""

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from cellcascade.data.crops import Crops
from cellcascade.geometry.masks import signed_distance

SMOOTH = 1.0  # Gaussian width before pixels are compared, pixels: grain does not count
RIM = 1.0  # pixels outside the outline that belong to neither side
CHANCE = 0.5
LOWEST = 1  # percentile of the real cells' agreement; halfway between it and chance, a texture is a miss


def agreement(image: np.ndarray, mask: np.ndarray) -> float:
    """Share of pairs of pixels, one inside and one outside, whose inner one is brighter; a tie is half a pair.

    Args:
        image: One cell on its background `(y, x)`, counts.
        mask: Its outline `(y, x)`, above 0 inside. Outside is a ring around it of the same area.

    Returns:
        0 to 1 (the area under the receiver operating characteristic); 1 if there is nothing to compare.
    """
    away = -signed_distance(mask)
    inside, outside = away < 0, away > RIM
    if not (inside.any() and outside.any()):
        return 1.0
    reach = np.sort(away[outside])[: inside.sum()][-1]
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTH)
    inner, outer = smooth[inside], smooth[outside & (away <= reach)]
    ranks = rankdata(np.concatenate([inner, outer]))[: len(inner)]
    return float((ranks.sum() - len(inner) * (len(inner) + 1) / 2) / (len(inner) * len(outer)))


def least_agreement(crops: Crops) -> float:
    """The agreement below which a texture misses its outline, from the real cells on their widest slices.

    At least 99 % of the real cells reach it, whatever their agreement.
    """
    widest = np.flatnonzero(crops.widest)
    real = [agreement(image, mask) for image, mask in zip(crops.image[widest], crops.mask[widest])]
    return CHANCE + (float(np.percentile(real, LOWEST)) - CHANCE) / 2
