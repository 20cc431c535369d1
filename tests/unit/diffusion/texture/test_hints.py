import tracemalloc

import numpy as np
import torch

from cellcascade.data.crops import read_crops, to_unit
from cellcascade.diffusion.texture.hints import CHANNELS, OUTLINE_REACH, CellHints, without_outline
from cellcascade.geometry.masks import signed_distance


def test_planes_are_mask_distance_and_levels(crops):
    data = read_crops(crops)
    hints, window = CellHints.of_crops(data), data.record.window
    planes = hints.planes()
    assert planes.shape == (24, CHANNELS, 32, 32) and planes.dtype == torch.float32 and len(hints) == 24
    np.testing.assert_array_equal(planes[:, 0], np.where(data.mask, 1.0, -1.0))
    distance = np.stack([signed_distance(mask) for mask in data.mask]) / (OUTLINE_REACH * 32)
    np.testing.assert_array_equal(planes[:, 1], distance.clip(-1.5, 1.5))
    for plane, level in zip((2, 3, 4), (to_unit(data.brightness, window), to_unit(data.background, window), 1)):
        expected = np.broadcast_to(np.reshape(np.float32(level) * 2 - 1, (-1, 1, 1)), (24, 32, 32))
        np.testing.assert_array_equal(planes[:, plane], expected)


def test_some_of_the_hints_and_joined_ones_are_the_same(crops):
    hints = CellHints.of_crops(read_crops(crops))
    parts = CellHints.joined([hints[:5], hints[np.array([7, 5])], hints[[5]]])
    assert torch.equal(parts.planes(), hints.planes()[[0, 1, 2, 3, 4, 7, 5, 5]])


def test_blind_planes_keep_levels_alone(crops):
    planes = CellHints.of_crops(read_crops(crops)).planes()
    blind = without_outline(planes)
    assert not blind[:, :2].any() and torch.equal(blind[:, 2:], planes[:, 2:]) and planes[:, :2].any()


def test_memory_of_hints_is_that_of_a_batch_not_of_the_data_set():
    """Beyond the masks, which are there anyway, a crop costs bytes; only those of a batch cost their planes."""
    edge, count, batch = 128, 512, 16
    masks = np.zeros((count, edge, edge), np.uint8)
    masks[:, 40:90, 30:100] = 1
    ones = np.ones(count)
    tracemalloc.start()
    hints = CellHints.of(masks, ones, ones, ones)
    held, peak = tracemalloc.get_traced_memory()
    assert held < 64 * count and peak < 256 * count
    tracemalloc.reset_peak()
    assert hints[np.arange(batch)].planes().shape == (batch, CHANNELS, edge, edge)
    assert tracemalloc.get_traced_memory()[1] < 12 * batch * edge**2 * 4
    tracemalloc.stop()
