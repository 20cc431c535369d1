"""Noise that slices share, and drawing: whatever the batch and shard, with guidance and corrected edges."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from cellcascade.config.settings import Texture
from cellcascade.core.seeds import seed_for
from cellcascade.data.crops import read_crops, to_unit
from cellcascade.diffusion.texture import monitor
from cellcascade.diffusion.texture.hints import CellHints, without_outline
from cellcascade.diffusion.texture.sampling import correlated_noise, draw
from cellcascade.diffusion.texture.spaces import LatentSpace, PixelSpace
from cellcascade.metrics.consistency import Consistency
from tests.unit.diffusion.texture.quick import TEXTURE, fine_tune, loaded, settings


@pytest.mark.parametrize("rho", [0.0, 0.7, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["coarse", "eq2", "ar1"])
def test_noise_of_slices_correlates_as_it_says(rho, kind):
    alike = Consistency(rho, kind)
    space = PixelSpace(512, 2)
    noise = correlated_noise(space, 5, alike, torch.Generator().manual_seed(1)).flatten(1).numpy()
    assert noise.mean(1) == pytest.approx(np.zeros(5), abs=0.02)
    assert noise.var(1) == pytest.approx(np.ones(5), abs=0.02)
    apart, found = np.abs(np.subtract.outer(range(5), range(5))), np.corrcoef(noise)
    if kind == "coarse":
        assert np.abs(found[apart == 1] - alike.shared).max() < 0.02
        two = found[apart == 2]  # what is coarse lasts longer than by ar1, and not for ever as by eq2
        assert (two > alike.shared**2 - 0.02).all() and (two < alike.shared + 0.02).all()
        return
    expected = alike.shared**apart if kind == "ar1" else np.where(apart, alike.shared, 1)
    assert np.abs(found - expected).max() < 0.02


def spaces():
    tiny = AutoencoderTiny(
        latent_channels=4, encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    )  # fmt: skip
    return {"pixel": PixelSpace(64, 4), "latent": LatentSpace(64, tiny, 32)}


@pytest.mark.parametrize("kind", ["pixel", "latent"])
def test_slices_share_their_light_and_not_their_grain(kind):
    space = spaces()[kind]
    noise = correlated_noise(space, 400, Consistency(0.5, "coarse"), torch.Generator().manual_seed(1))
    coarse = space.frequency < 1 / 40  # of the Fourier transform: structure of more than 40 pixels
    fine = space.frequency > 0.8 * space.frequency.max()
    waves = torch.fft.fft2(noise)
    below, above = waves[:-1], waves[1:]

    def alike(where):
        first, second = (part[:, where] for part in (below, above))
        return float((first * second.conj()).real.mean() / (first.abs() ** 2).mean())

    assert alike(coarse) > 0.9 and abs(alike(fine)) < 0.1
    light = noise.mean((2, 3))[:, 0]  # the first channel's is the light of the whole crop
    assert float(light.std()) < 1e-4 * float(noise.std())


class Blind(CellHints):
    """Hints that hide where the cells are."""

    def planes(self, device="cpu"):
        return without_outline(super().planes(device))


def test_guidance_needs_a_model_trained_for_it_and_moves_samples(crops, base, tmp_path):
    with pytest.raises(ValueError, match="set condition_dropout"):
        Texture(guidance=3.0)
    block = settings(base=base, condition_dropout=0.5)
    trained = loaded(fine_tune(crops, tmp_path, block))
    trained.profile = None  # it corrects edges, which blind hints do not have
    hints = CellHints.of_crops(read_crops(crops))[:3]
    noise = torch.randn(3, *trained.space.noise_shape, generator=torch.Generator().manual_seed(0))
    guided = [block.model_copy(update={"guidance": scale}) for scale in (1.0, 0.0, 3.0)]
    drawn = [np.stack(list(draw(trained, hints, noise, each))) for each in guided]
    blind = Blind(hints.mask, hints.levels)
    unseen = np.stack(list(draw(trained, blind, noise, block)))
    np.testing.assert_array_equal(drawn[1], unseen)  # scale 0: outlines do not matter
    assert np.abs(drawn[0] - unseen).max() > 1e-5 and np.abs(drawn[2] - drawn[0]).max() > 1e-5


def test_what_is_drawn_is_corrected_by_the_profile_that_training_measured(crops, tmp_path):
    block = settings()
    trained = loaded(fine_tune(crops, tmp_path, block))
    data = read_crops(crops)
    hints = CellHints.of_crops(data)
    noise = torch.randn(len(hints), *trained.space.noise_shape, generator=torch.Generator().manual_seed(0))
    profile, trained.profile = trained.profile, None
    plain = np.stack(list(draw(trained, hints, noise, TEXTURE)))
    again = monitor.measure_profile(trained, TEXTURE, data, hints, seed_for(0, data.record.dataset, "texture"))
    np.testing.assert_array_equal(again.drawn, profile.drawn)  # saved and loaded as measured
    trained.profile = profile
    corrected = np.stack(list(draw(trained, hints, noise, TEXTURE)))
    np.testing.assert_allclose(corrected, plain * np.sqrt(profile.gain(hints)), rtol=1e-6)
    off = [
        np.abs(to_unit(data.image, data.record.window) ** 2 - unit.clip(0, 1) ** 2).mean()
        for unit in (plain, corrected)
    ]
    assert off[1] < off[0]  # after three steps of training, most of what is wrong is the mean light
