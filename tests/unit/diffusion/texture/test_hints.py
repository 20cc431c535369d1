import tracemalloc

import numpy as np
import torch

from cellcascade.data.crops import read_crops, to_unit
from cellcascade.diffusion.texture.hints import CHANNELS, OUTLINE_REACH, CellHints, without_outline
from cellcascade.geometry.masks import signed_distance
from tests.unit.diffusion.texture.quick import changed


def test_planes_are_mask_distance_and_levels(crops):
    data = read_crops(crops)
    hints, window = CellHints.of_crops(data), data.record.window
    planes = hints.planes()
    assert planes.shape == (24, CHANNELS, 32, 32) and planes.dtype == torch.float32 and len(hints) == 24
    np.testing.assert_array_equal(planes[:, 0], np.where(data.mask, 1.0, -1.0))
    distance = np.stack([signed_distance(mask) for mask in data.mask]) / OUTLINE_REACH
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


def test_the_hint_of_a_cell_means_the_same_in_crops_of_every_size(crops):
    data = read_crops(crops)
    masks, levels = data.mask[:3], (np.full(3, 0.5), np.full(3, 0.1), np.ones(3), np.full((3, 2), 0.1))
    small = CellHints.of(masks, *levels).planes()
    large = CellHints.of(np.pad(masks, ((0, 0), (16, 16), (16, 16))), *levels).planes()
    assert torch.equal(large[:, :, 16:-16, 16:-16], small)


def test_grain_is_a_level_that_grows_with_noise(crops, tmp_path):
    data = read_crops(crops)
    noisy = data.image + np.random.default_rng(0).normal(0, 40, data.image.shape)
    more = CellHints.of_crops(changed(crops, tmp_path / "n.zarr.zip", image=noisy.clip(0, 255).astype(np.uint16)))
    assert (more.levels[:, 3] > CellHints.of_crops(data).levels[:, 3] + 0.1).all()
    np.testing.assert_array_equal(more.levels[:, :3], CellHints.of_crops(data).levels[:, :3])


def test_memory_of_hints_is_that_of_a_batch_not_of_the_data_set():
    """Beyond the masks, which are there anyway, a crop costs bytes; only those of a batch cost their planes."""
    edge, count, batch = 128, 512, 16
    masks = np.zeros((count, edge, edge), np.uint8)
    masks[:, 40:90, 30:100] = 1
    ones = np.ones(count)
    tracemalloc.start()
    hints = CellHints.of(masks, ones, ones, ones, np.ones((count, 2)))
    held, peak = tracemalloc.get_traced_memory()
    assert held < 64 * count and peak < 512 * count
    tracemalloc.reset_peak()
    assert hints[np.arange(batch)].planes().shape == (batch, CHANNELS, edge, edge)
    assert tracemalloc.get_traced_memory()[1] < 12 * batch * edge**2 * 4
    tracemalloc.stop()
