"""What textures start from: a base's noise schedule and empty prompt, and autoencoders of all kinds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler
from torch import nn

from cellcascade.core.errors import InputError
from cellcascade.data.crops import read_crops
from cellcascade.diffusion.process import ddim, diffusion_loss
from cellcascade.diffusion.texture import examples, model, prompt
from cellcascade.diffusion.texture.base import load_autoencoder, schedule_of_base
from cellcascade.diffusion.texture.hints import CHANNELS, CellHints
from cellcascade.diffusion.texture.sampling import draw
from cellcascade.diffusion.texture.spaces import LatentSpace
from tests.sd_base import CLIP, WIDTH, add_text_encoder, clip_weights, make_autoencoder, make_base
from tests.unit.diffusion.texture.quick import files, fine_tune, loaded, settings

TAEF2 = Path(__file__).parents[5] / "shared/data/weights/taef2"


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
def test_a_base_is_sampled_from_pure_noise_at_the_last_step_and_learns_v(tmp_path, predicts):
    base = Path(make_base(tmp_path))
    how = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": False}
    own = DDIMScheduler(**how, prediction_type=predicts, steps_offset=1, clip_sample=False)
    own.save_pretrained(base / "scheduler")
    assert own.alphas_cumprod[-1] > 0.004  # what leaks
    schedule = schedule_of_base(settings(base=str(base)))
    assert schedule.alphas_cumprod[0] == pytest.approx(own.alphas_cumprod[0]) and schedule.alphas_cumprod[-1] < 1e-8
    seen = []

    def predict(noisy, steps):
        seen.append(int(steps[0]))
        clean = torch.full_like(noisy, -0.9)
        a = schedule.alphas_cumprod[steps[0]]
        return (a.sqrt() * noisy - clean) / (1 - a).sqrt()

    made = ddim(predict, torch.randn(2, 4, 8, 8), schedule, steps=20)
    assert seen[0] == 999 and seen[-1] == 49 and (made + 0.9).abs().max() < 1e-4  # dark, whatever the noise
    clean, noise, last = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8), torch.full((3,), 999)
    assert diffusion_loss(lambda x, t: -clean, clean, last, noise, schedule) < 1e-8  # v where there is only noise
    assert diffusion_loss(lambda x, t: noise, clean, last, noise, schedule) > 1


def test_a_frozen_unet_that_predicts_noise_goes_on_with_it(base, caplog):
    schedule = schedule_of_base(settings(base=base, trainable="controlnet"))
    assert schedule.config.prediction_type == "epsilon" and schedule.alphas_cumprod[-1] > 0
    schedule.set_timesteps(10)
    assert schedule.timesteps[0] == 999 and "dark backgrounds may come out too bright" in caplog.text


def reference(weights):
    """The same text encoder, put together from PyTorch's own layers."""
    embedding = weights["embeddings.token_embedding.weight"], weights["embeddings.position_embedding.weight"]
    layers = []
    for i in range(CLIP["num_hidden_layers"]):
        own = {name.removeprefix(f"encoder.layers.{i}."): value for name, value in weights.items()}
        layer = nn.TransformerEncoderLayer(
            WIDTH, CLIP["num_attention_heads"], CLIP["intermediate_size"], 0.0, prompt.ACTIVATIONS["quick_gelu"],
            batch_first=True, norm_first=True,
        )  # fmt: skip
        state = {"self_attn.in_proj_weight": [own[f"self_attn.{name}_proj.weight"] for name in "qkv"]}
        state |= {"self_attn.in_proj_bias": [own[f"self_attn.{name}_proj.bias"] for name in "qkv"]}
        state = {name: torch.cat(parts) for name, parts in state.items()}
        names = {"self_attn.out_proj": "self_attn.out_proj", "linear1": "mlp.fc1", "linear2": "mlp.fc2"}
        for new, old in (names | {"norm1": "layer_norm1", "norm2": "layer_norm2"}).items():
            state |= {f"{new}.{kind}": own[f"{old}.{kind}"] for kind in ("weight", "bias")}
        layer.load_state_dict(state)
        layers.append(layer)
    last = weights["final_layer_norm.weight"], weights["final_layer_norm.bias"]

    def encode(tokens):
        data, length = embedding[0][tokens] + embedding[1][: len(tokens)], len(tokens)
        for layer in layers:
            data = layer(data[None], nn.Transformer.generate_square_subsequent_mask(length))[0]
        return nn.functional.layer_norm(data, (WIDTH,), *last)

    return encode


def test_the_empty_prompt_is_what_the_bases_own_text_encoder_makes_of_it(tmp_path, caplog):
    base = Path(make_base(tmp_path / "base"))
    assert prompt.embedding_of_nothing(base) is None and "has no text encoder" in caplog.text
    add_text_encoder(base)
    weights = {name.removeprefix("text_model."): value for name, value in clip_weights().items()}
    made = prompt.embedding_of_nothing(base)
    with torch.no_grad():
        expected = reference(weights)(torch.tensor([3, 4, 0, 0, 0, 0, 0]))  # begin, end, padding
    assert made.shape == (1, 7, WIDTH) and (made[0] - expected).abs().max() < 1e-5
    (base / "tokenizer/special_tokens_map.json").unlink()  # Stable Diffusion 1 pads with the end
    assert prompt.tokens_of_nothing(base, 5) == [3, 4, 4, 4, 4]


def test_the_text_encoder_is_clips(tmp_path):
    transformers = pytest.importorskip("transformers")
    for activation in prompt.ACTIVATIONS:
        config = transformers.CLIPTextConfig(**CLIP | {"hidden_act": activation}, bos_token_id=3, eos_token_id=4)
        torch.manual_seed(0)
        encoder, tokens = transformers.CLIPTextModel(config).eval(), torch.tensor([[3, 4, 0, 0, 1]])
        weights = {name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}
        with torch.no_grad():
            assert (encoder(tokens)[0] - prompt.encode(tokens, weights, config.to_dict())).abs().max() < 1e-5


def test_the_empty_prompt_is_used_and_lies_with_the_model(crops, tmp_path):
    base = Path(make_base(tmp_path / "base"))
    add_text_encoder(base)
    block = settings(base=str(base))
    folder = fine_tune(crops, tmp_path, block)
    expected, made = prompt.embedding_of_nothing(base), loaded(folder)
    assert torch.equal(made.prompt, expected)
    noisy, steps, hint = torch.randn(1, 4, 16, 16), torch.tensor([500]), torch.randn(1, 4 * CHANNELS, 16, 16)
    with torch.no_grad():
        seen = made(noisy, steps, hint)
        made.prompt = torch.zeros_like(expected)
        assert (made(noisy, steps, hint) - seen).abs().max() > 1e-4


def encoded(monkeypatch):
    """Count the images that autoencoders encode, by the size of each batch."""
    calls, plain = [], LatentSpace.encode
    monkeypatch.setattr(LatentSpace, "encode", lambda self, images: calls.append(len(images)) or plain(self, images))
    return calls


def test_each_crop_is_encoded_once_in_each_orientation(crops, base, tmp_path, monkeypatch):
    calls = encoded(monkeypatch)
    fine_tune(crops, tmp_path, settings(base=base, space="latent", train={"steps": 5}))
    assert sum(calls) == 8 * 24 and not list(tmp_path.glob("ck-*/latents.npy"))


def test_kept_latents_are_those_of_the_turned_crops(crops, base, tmp_path):
    data, space = read_crops(crops), model.build(settings(base=base, space="latent"), 32).space
    kept = examples.LatentExamples(space, data, tmp_path / "latents.npy", fit=False)
    chosen, turns = np.array([3, 3, 20]), [0, 5, 2]
    images = examples.turned(examples.images_of(data, chosen), turns)
    found = kept.clean(kept.take(chosen, turns))
    assert (found - space.encode(images)).abs().max() < 2e-3  # of 16 bits
    assert np.load(tmp_path / "latents.npy", mmap_mode="r").dtype == np.float16


def autoencoder(kind, folder):
    """An autoencoder of a kind."""
    if kind == "taef2":
        if not TAEF2.is_dir():
            pytest.skip(f"{TAEF2} is not there")
        return str(TAEF2)
    if kind == "tiny":
        torch.manual_seed(0)
        small = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
        AutoencoderTiny(**small, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)).save_pretrained(folder)
        return str(folder)
    return make_autoencoder(folder)


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["kl", "tiny", "taef2"])
def test_a_latent_model_is_trained_from_scratch_and_samples(crops, tmp_path, kind):
    how = {"space": "latent", "autoencoder": autoencoder(kind, tmp_path / "autoencoder"), "block": 4}
    block = settings(**how, train={"steps": 4})
    whole = fine_tune(crops, tmp_path / "whole", block)
    record = json.loads((whole / "config.json").read_text())
    assert len(record["scales"]["mean"]) == record["unet"]["in_channels"] == {"taef2": 32}.get(kind, 4)
    assert record["unet"]["sample_size"] == 8 and record["schedule"]["rescale_betas_zero_snr"]
    trained, hints = loaded(whole), CellHints.of_crops(read_crops(crops))[:2]
    noise = [torch.randn(trained.space.noise_shape, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    made = np.stack(list(draw(trained, hints, noise, block)))
    assert made.shape == (2, 32, 32) and np.isfinite(made).all() and made.std() > 0


def test_a_killed_latent_training_resumes_exactly(crops, tmp_path, monkeypatch):
    how = {"space": "latent", "autoencoder": autoencoder("tiny", tmp_path / "autoencoder"), "block": 4}
    block = settings(**how, train={"steps": 4})
    whole = fine_tune(crops, tmp_path / "whole", block)
    calls, plain, latents = [], examples.diffusion_loss, encoded(monkeypatch)

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 4:  # the checkpoint is that of step 2
            raise Killed
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(examples, "diffusion_loss", dying)
        with pytest.raises(Killed):
            fine_tune(crops, tmp_path / "killed", block)
    before = len(latents)
    killed = fine_tune(crops, tmp_path / "killed", block)
    assert len(latents) == before  # they were kept
    assert all(files(whole)[name].read_bytes() == files(killed)[name].read_bytes() for name in files(whole))


def test_latents_of_a_model_from_scratch_have_unit_variance(crops, tmp_path):
    block = settings(space="latent", autoencoder=make_autoencoder(tmp_path / "autoencoder"))
    space, data = model.build(block, 32).space, read_crops(crops)
    kept = examples.LatentExamples(space, data, tmp_path / "latents.npy", fit=True)
    found = kept.clean(kept.take(np.arange(24), [0] * 24))
    assert found.mean((0, 2, 3)).abs().max() < 1e-3 and (found.std((0, 2, 3)) - 1).abs().max() < 1e-2
    images = examples.images_of(data, np.arange(4))
    decoded = space.decode(space.encode(images))
    plain = model.build(block, 32).space
    assert (decoded - plain.decode(plain.encode(images))).abs().max() < 1e-4  # decoding undoes the scaling


@pytest.mark.skipif(not TAEF2.is_dir(), reason=f"{TAEF2} is not there")
def test_taesds_files_are_read_as_their_author_publishes_them(tmp_path):
    """It brings cells back; with a part of its weights missing, or another's, it is refused."""
    space = LatentSpace(32, load_autoencoder(settings(autoencoder=str(TAEF2))), 8)
    y, x = np.mgrid[:32, :32] - 15.5
    disc = torch.from_numpy(1 / (1 + np.exp(np.hypot(x, y) - 9))).float()[None, None] * 2 - 1
    assert (space.decode(space.encode(disc)) - disc).square().mean().sqrt() < 0.15 * disc.std()
    for side in ("encoder", "decoder"):
        state = torch.load(TAEF2 / f"taef2_{side}.pth", weights_only=True)
        torch.save({name: value for name, value in state.items() if name != "10.weight"}, tmp_path / f"{side}.pth")
    with pytest.raises(InputError, match="The autoencoder cannot be loaded"):
        load_autoencoder(settings(autoencoder=str(tmp_path)))
