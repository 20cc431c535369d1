"""The texture model: fine-tuning, sampling, resuming, and what is looked at while it trains."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.tensorboard import SummaryWriter

from cellcascade.config.settings import FineTuning, Texture
from cellcascade.core.errors import InputError
from cellcascade.core.seeds import seed_for
from cellcascade.data.crops import read_crops, to_counts, to_unit
from cellcascade.data.shards import open_shard, write_shard
from cellcascade.diffusion.process import ddim, dpm_solver, noise_schedule
from cellcascade.diffusion.texture import model as texture_model
from cellcascade.diffusion.texture import monitor as texture_watch
from cellcascade.diffusion.texture import stage as texture
from cellcascade.diffusion.texture.sampling import correlated_noise, draw
from cellcascade.diffusion.texture.spaces import LatentSpace, PixelSpace
from tests.sd_base import make_base

QUICK = FineTuning(steps=3, batch_size=4, learning_rate=1e-3, ema_decay=0.5, checkpoint_every=2)
TEXTURE = Texture(block=2, channels=(16, 16), layers=1, sampling_steps=3, sampling_batch=4, train=QUICK)


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    """Looks take two steps instead of 25, and fewer cells show the light across edges."""
    monkeypatch.setattr(texture_watch, "MEASURED", 24)
    monkeypatch.setattr(texture_watch, "STEPS", 2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


def settings(*, train=None, **changes):
    """The small `texture` block with changes."""
    block = TEXTURE.model_dump(mode="json")
    return block | changes | {"train": block["train"] | (train or {})}


def fine_tune(crops, folder, block):
    """Train as the rule does; gives the folder of the model."""
    arguments = {"folder": str(folder / "m"), "checkpoints": str(folder / "ck"), "seed": 0, "device": "cpu"}
    texture.train(crops, settings=block, **arguments)
    return folder / "m"


def cells_shard(path, masks, *, first=0, slices=1):
    """Cells with the same outline in all of their slices."""
    n = len(masks)
    arrays = {"mask": np.repeat(masks[:, None], slices, 1), "n_slices": np.full(n, slices, np.int32)}
    arrays |= {"cell_id": np.arange(first, first + n, dtype=np.int32), "valid": np.ones(n, np.uint8)}
    write_shard(path, schema="slices/1", arrays=arrays, attributes={})
    return str(path)


def sampled(model, cells, crops, block, store):
    texture.sample(str(model), cells, crops=crops, settings=block, store=str(store), seed=0, device="cpu", dataset="d")
    return open_shard(store, "textures/1")["image"][:]


def same_weights(*folders):
    """Whether trained models are equal to the bit."""
    return all(
        len({(folder / f"{name}.safetensors").read_bytes() for folder in folders}) == 1
        for name in ("unet", "controlnet")
    )


# --- noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.7, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["eq2", "ar1"])
def test_noise_of_slices_correlates_as_it_says(rho, kind):
    noise = correlated_noise((4, 128, 128), 5, rho, torch.Generator().manual_seed(1), kind).flatten(1).numpy()
    assert noise.mean(1) == pytest.approx(np.zeros(5), abs=0.02)
    assert noise.var(1) == pytest.approx(np.ones(5), abs=0.02)
    apart = np.abs(np.subtract.outer(range(5), range(5)))
    neighbours = rho**2 / (1 + rho**2)
    expected = neighbours**apart if kind == "ar1" else np.where(apart, neighbours, 1)
    assert np.abs(np.corrcoef(noise) - expected).max() < 0.02


# --- samplers -------------------------------------------------------------------------------------------------------


def predictor(schedule, truth="gaussian"):
    """The perfect prediction for data of mean 0.5 and standard deviation 0.3: two narrow peaks, or a Gaussian."""
    centres, width = ([0.2, 0.8], 0.1) if truth == "peaks" else ([0.5], 0.3)
    centres = torch.tensor(centres, dtype=torch.float64)

    def predict(noisy, steps):
        kept = schedule.alphas_cumprod[steps.long().flatten()[0]].double()
        variance = kept * width**2 + 1 - kept
        away = noisy[..., None] - kept.sqrt() * centres
        share = torch.softmax(-(away**2) / (2 * variance), -1)
        clean = (share * (centres + kept.sqrt() * width**2 / variance * away)).sum(-1)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        is_v = schedule.config.prediction_type == "v_prediction"
        return kept.sqrt() * noise - (1 - kept).sqrt() * clean if is_v else noise

    return predict


@pytest.mark.parametrize("steps", [8, 15, 30])
@pytest.mark.parametrize("truth", ["gaussian", "peaks"])
@pytest.mark.parametrize("kind", ["ours", "stable diffusion"])
def test_dpm_solver_comes_nearer_to_the_exact_solution_than_ddim_in_as_many_steps(kind, truth, steps, base):
    schedule = noise_schedule(1000) if kind == "ours" else texture_model.build(settings_of(base), 32).schedule
    start = torch.randn(1, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    predict = predictor(schedule, truth)
    exact = ddim(predict, start, schedule, steps=500)
    ours, plain = (sampler(predict, start, schedule, steps=steps) for sampler in (dpm_solver, ddim))
    assert (ours - exact).abs().mean() < 0.75 * (plain - exact).abs().mean()
    assert torch.equal(ours, dpm_solver(predict, start, schedule, steps=steps))


def settings_of(base):
    return TEXTURE.model_copy(update={"base": base, "space": "latent"})


# --- spaces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "edge"), [(32, 16), (24, 16), (20, 64)])
def test_16_bit_crops_survive_three_channels_and_the_autoencoders_size(base, size, edge):
    vae = texture_model.build(settings_of(base), 32).space.vae
    space, window = LatentSpace(size, vae, edge), (310, 64_000)
    counts = np.random.default_rng(0).integers(*window, (3, size, size), endpoint=True).astype(np.uint16)
    images = torch.from_numpy(to_unit(counts, window))[:, None] * 2 - 1
    large = space.to_colour(images)
    assert large.shape == (3, 3, 2 * edge, 2 * edge)
    again = (space.to_grey(large)[:, 0].numpy() + 1) / 2
    np.testing.assert_array_equal(to_counts(again, window, 65535), counts)


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["scratch pixel", "base pixel", "base latent", "base latent fp16"])
def test_texture_model_trains_saves_loads_and_samples(crops, base, tmp_path, space):
    origin, kind, *variant = space.split()
    if variant:
        base = make_base(tmp_path / "base", variant="fp16")
    block = settings(base=base if origin == "base" else "scratch", space=kind)
    model = fine_tune(crops, tmp_path, block)
    log = pd.read_csv(model / "training.csv")
    assert log["step"].tolist() == [2, 3] and log["mask_iou"].notna().tolist() == [False, True]
    assert pd.read_csv(model / "rho.csv").empty  # one slice a cell
    cells = cells_shard(tmp_path / "cells.zarr.zip", read_crops(crops).mask[:5])
    images = [sampled(model, cells, crops, block, tmp_path / f"{name}.zarr.zip") for name in "ab"]
    assert images[0].shape == (5, 1, 32, 32) and images[0].max() <= 255 and images[0].std() > 0
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


@pytest.mark.parametrize(
    ("trainable", "moves"),
    [("controlnet", ()), ("controlnet+decoder", ("up_blocks", "conv_norm_out", "conv_out")), ("all", None)],
)
def test_only_the_chosen_parts_are_trained(crops, base, tmp_path, trainable, moves):
    start = texture_model.build(settings_of(base), 32)
    block = settings(base=base, space="latent", trainable=trainable, train={"steps": 4})
    model = fine_tune(crops, tmp_path, block)
    for name, before in (("unet", start.unet.state_dict()), ("controlnet", start.controlnet.state_dict())):
        after = load_file(model / f"{name}.safetensors")
        changed = {key for key in after if not torch.equal(after[key], before[key])}
        if name == "controlnet":
            assert {"conv_in.weight", "controlnet_mid_block.weight"} <= changed
        elif moves is None:
            assert {key.split(".")[0] for key in changed} > {"conv_in", "down_blocks", "mid_block", "up_blocks"}
        else:
            assert {key.split(".")[0] for key in changed} == set(moves)
    checkpoint = torch.load(next(tmp_path.glob("ck-*/state.pt")), weights_only=True)["model"]
    assert any(name.startswith("unet.") for name in checkpoint) == (trainable != "controlnet")
    assert not any(name.startswith("space.vae") for name in checkpoint)


def test_the_controlnet_starts_as_the_unets_encoder_and_adds_nothing(base):
    model = texture_model.build(settings_of(base), 32)
    unet, controlnet = model.unet.state_dict(), model.controlnet.state_dict()
    shared = [
        key for key in controlnet if key.split(".")[0] in ("conv_in", "time_embedding", "down_blocks", "mid_block")
    ]
    assert len(shared) > 20 and all(torch.equal(controlnet[key], unet[key]) for key in shared)
    noisy, steps = torch.randn(1, *model.space.noise_shape), torch.tensor([500])
    hints = (model.space.hint(torch.randn(1, 5, 32, 32)) for _ in range(2))
    first, second = (model(noisy, steps, hint) for hint in hints)
    assert torch.equal(first, second)


class Killed(Exception):
    pass


def test_a_killed_fine_tuning_resumes_to_identical_weights(crops, base, tmp_path, monkeypatch):
    block = settings(base=base, space="latent", train={"steps": 6, "accumulation": 2}, condition_dropout=0.2)
    whole = fine_tune(crops, tmp_path / "whole", block)
    calls, plain = [], texture.diffusion_loss

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 8:  # in the middle of step 4; the checkpoint is that of step 2
            raise Killed
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(texture, "diffusion_loss", dying)
        with pytest.raises(Killed):
            fine_tune(crops, tmp_path / "killed", block)
    assert not (tmp_path / "killed/m").exists()
    killed = fine_tune(crops, tmp_path / "killed", block)
    assert same_weights(whole, killed)
    columns = ["step", "loss", "learning_rate", "mask_iou"]
    pd.testing.assert_frame_equal(*(pd.read_csv(folder / "training.csv")[columns] for folder in (whole, killed)))


def test_gradient_checkpointing_and_looks_change_no_weight_and_accumulation_does(crops, base, tmp_path):
    def trained(name, **train):
        return fine_tune(crops, tmp_path / name, settings(base=base, space="latent", train=train))

    plain = trained("plain")
    assert same_weights(plain, trained("frugal", gradient_checkpointing=True, sample_every=1))
    assert not same_weights(plain, trained("more", accumulation=2))


# --- sampling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["pixel", "latent"])
@pytest.mark.parametrize("how", [{}, {"sampler": "dpm++", "guidance": 2.0, "condition_dropout": 0.2}])
def test_a_cell_is_the_same_to_the_bit_whatever_its_batch_and_shard(crops, base, tmp_path, space, how):
    block = settings(base=base, space=space, sampling_batch=3, **how)
    model, masks = fine_tune(crops, tmp_path, block), read_crops(crops).mask[:4]
    whole = cells_shard(tmp_path / "whole.zarr.zip", masks, slices=4)
    part = cells_shard(tmp_path / "part.zarr.zip", masks[1:], first=1, slices=4)
    every, some = (
        sampled(model, cells, crops, block, tmp_path / f"{i}.zarr.zip") for i, cells in enumerate((whole, part))
    )
    np.testing.assert_array_equal(every[1:], some)  # slice 0 of cell 1 is second in its batch, then first


def test_guidance_needs_a_model_trained_for_it_and_moves_samples(crops, base, tmp_path):
    with pytest.raises(ValueError, match="set condition_dropout"):
        Texture(guidance=3.0)
    block = settings(base=base, condition_dropout=0.5)
    model = texture_model.load(fine_tune(crops, tmp_path, block), torch.device("cpu"))
    model.profile = None  # it corrects edges, which blind hints do not have
    hints = texture.crop_hints(read_crops(crops))[:3]
    noise = torch.randn(3, *model.space.noise_shape, generator=torch.Generator().manual_seed(0))
    scales = (1.0, 0.0, 3.0)
    drawn = [np.stack(list(draw(model, hints, noise, Texture(**block | {"guidance": scale})))) for scale in scales]
    blind = hints.clone()
    blind[:, :2] = 0
    unseen = np.stack(list(draw(model, blind, noise, Texture(**block))))
    np.testing.assert_array_equal(drawn[1], unseen)  # scale 0: outlines do not matter
    assert np.abs(drawn[0] - unseen).max() > 1e-5 and np.abs(drawn[2] - drawn[0]).max() > 1e-5


def test_what_is_drawn_is_corrected_by_the_profile_that_training_measured(crops, tmp_path):
    block = settings()
    model = texture_model.load(fine_tune(crops, tmp_path, block), torch.device("cpu"))
    data = read_crops(crops)
    hints = texture.crop_hints(data)
    noise = torch.randn(len(hints), *model.space.noise_shape, generator=torch.Generator().manual_seed(0))
    profile, model.profile = model.profile, None
    plain = np.stack(list(draw(model, hints, noise, TEXTURE)))
    again = texture_watch.measure_profile(model, TEXTURE, data, hints, seed_for(0, data.attrs["dataset"], "texture"))
    np.testing.assert_array_equal(again.drawn, profile.drawn)  # saved and loaded as measured
    model.profile = profile
    corrected = np.stack(list(draw(model, hints, noise, TEXTURE)))
    np.testing.assert_allclose(corrected, plain * np.sqrt(profile.gain(hints)), rtol=1e-6)
    off = [
        np.abs(to_unit(data.image, data.attrs["window"]) ** 2 - unit.clip(0, 1) ** 2).mean()
        for unit in (plain, corrected)
    ]
    assert off[1] < off[0]  # after three steps of training, most of what is wrong is the mean light


# --- what is looked at ----------------------------------------------------------------------------------------------


class Drawing(torch.nn.Module):
    """Stands in for a trained network: draws the hint's disc, or the same one whatever the hint, with some noise."""

    schedule, profile = noise_schedule(1000), None

    def __init__(self, follows):
        super().__init__()
        self.space, self.weight, self.follows = PixelSpace(32, 2), torch.nn.Parameter(torch.zeros(1)), follows
        self.space.fit(torch.rand(8, 1, 32, 32))
        self.space.hint = lambda hint: hint

    def guided(self, hint, blind=None, scale=1.0):
        seen = hint[:, :1] if self.follows else hint[:1, :1].roll(9, -1).expand(len(hint), -1, -1, -1)
        clean = self.space.encode(torch.where(seen > 0, 0.6, -0.6))

        def predict(noisy, steps):
            alpha = self.schedule.alphas_cumprod[steps.flatten()[0]]
            return (alpha.sqrt() * noisy - clean) / (1 - alpha).sqrt()

        return predict


@pytest.mark.parametrize("follows", [True, False])
def test_a_model_that_ignores_its_condition_is_warned_of(crops, tmp_path, caplog, follows):
    data = read_crops(crops)
    watch = texture_watch.Watch(Drawing(follows), TEXTURE, data, texture.crop_hints(data), seed=0)
    with SummaryWriter(tmp_path) as board, caplog.at_level(logging.WARNING, "cellcascade"):
        iou = watch(board, 100)["mask_iou"]
    assert (iou > 0.9) == follows == (not caplog.records)
    assert follows or "do not follow their outlines" in caplog.text


def test_likeness_of_neighbouring_slices_grows_with_rho(crops, tmp_path):
    data, generator = read_crops(crops), np.random.default_rng(0)
    mask = np.repeat(data.mask[:6], 3, 0)
    common = np.repeat(generator.normal(100, 20, (6, 32, 32)), 3, 0)
    image = np.where(mask, common + generator.normal(0, 20, mask.shape), 10).clip(0, 255).astype(np.uint16)
    ones = np.ones(18, np.float32)
    arrays = {"image": image, "mask": mask, "frame": np.ones(18, np.int32), "label": np.arange(18, dtype=np.int32) // 3}
    arrays |= {"z": np.arange(18, dtype=np.int32) % 3, "widest": (np.arange(18) % 3 == 1).astype(np.uint8)}
    arrays |= {"area_ratio": ones, "brightness": 100 * ones, "background": 10 * ones}
    write_shard(tmp_path / "c.zarr.zip", schema="crops/1", arrays=arrays, attributes=data.attrs)
    model = fine_tune(str(tmp_path / "c.zarr.zip"), tmp_path, settings())
    table = pd.read_csv(model / "rho.csv")
    assert table["rho"].tolist() == list(texture_watch.RHOS) and set(table["pairs"]) == {12}
    made, real = table["synthetic"], table["real"].iloc[0]
    assert made.is_monotonic_increasing and made.iloc[0] < real - 0.1 < real + 0.3 < made.iloc[-1]
    assert real == pytest.approx(0.5, abs=0.1)


def test_pixel_space_refuses_a_unet_of_other_channels(base):
    with pytest.raises(InputError, match="block: 2"):
        texture_model.build(TEXTURE.model_copy(update={"base": base, "block": 4}), 32)


def test_scratch_has_no_latent_space():
    with pytest.raises(InputError, match="do not fit together"):
        texture_model.build(TEXTURE.model_copy(update={"space": "latent"}), 32)
