"""The spaces in which textures are made."""

import numpy as np
import pytest
import torch

from cellcascade.data.crops import to_counts, to_unit
from cellcascade.diffusion.texture import model
from cellcascade.diffusion.texture.spaces import LatentSpace, PixelSpace
from tests.unit.diffusion.texture.quick import settings_of


@pytest.mark.parametrize(("size", "edge"), [(32, 16), (24, 16), (20, 64)])
def test_16_bit_crops_survive_three_channels_and_the_autoencoders_size(base, size, edge):
    vae = model.build(settings_of(base), 32).space.vae
    space, window = LatentSpace(size, vae, edge), (310, 64_000)
    counts = np.random.default_rng(0).integers(*window, (3, size, size), endpoint=True).astype(np.uint16)
    images = torch.from_numpy(to_unit(counts, window))[:, None] * 2 - 1
    large = space.to_colour(images)
    assert large.shape == (3, 3, 2 * edge, 2 * edge)
    again = (space.to_grey(large)[:, 0].numpy() + 1) / 2
    np.testing.assert_array_equal(to_counts(again, window, 65535), counts)


def test_pixel_space_is_lossless_and_unit_variance():
    images = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    space = PixelSpace(16, 4)
    space.fit(images)
    data = space.encode(images)
    assert data.shape[1:] == space.noise_shape and (data.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert (space.decode(data) - images).abs().max() < 1e-4
