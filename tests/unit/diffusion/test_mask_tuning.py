"""What a prior of masks is fine-tuned on."""

import numpy as np

from cellcascade.diffusion.mask_tuning import COPIES, SCALE, with_copies
from cellcascade.metrics.shape import measure_shapes


def octagons(size=32, cells=6):
    """Outlines as they are drawn along the pixels: squares with cut corners, of several sizes and places."""
    y, x = np.mgrid[:size, :size]
    masks = []
    for cell in range(cells):
        down, right, half = abs(y - 15 - cell % 2), abs(x - 16 + cell % 3), 7 + cell // 2
        masks.append((np.maximum(down, right) <= half) & (down + right <= 1.4 * half))
    return np.stack(masks).astype(np.uint8)


def test_copies_are_as_convex_as_the_masks_and_as_large_within_a_tenth():
    masks = octagons()
    made, source = with_copies(masks, seed=0)
    assert len(made) == (1 + COPIES) * len(masks) and (made[: len(masks)] == masks).all()
    real, copies = measure_shapes(masks), measure_shapes(made[len(masks) :])
    assert real["solidity"].min() > 0.98
    assert abs(copies["solidity"].mean() - real["solidity"].mean()) < 0.01  # turned by any angle: .03 lower
    ratio = copies["area"].to_numpy() / real["area"].to_numpy()[source[len(masks) :]]
    assert np.exp(-2 * SCALE) * 0.93 < ratio.min() < 0.9 and 1.1 < ratio.max() < np.exp(2 * SCALE) * 1.07


def test_copies_that_reach_the_edge_are_left_out():
    masks = np.zeros((6, 32, 32), np.uint8)
    masks[:, 1:-1, 1:-1] = 1
    made, source = with_copies(masks, seed=0)
    assert len(masks) < len(made) == len(source) < (1 + COPIES) * len(masks)
    assert not made[:, [0, -1]].any() and not made[:, :, [0, -1]].any()
