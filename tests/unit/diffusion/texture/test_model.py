"""The networks: what of them is trained, how they start, and settings that do not fit."""

import os
import subprocess
import sys

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file

from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.core.errors import InputError
from cellcascade.diffusion.texture import model, monitor
from cellcascade.diffusion.texture.hints import CHANNELS
from cellcascade.learning.training import learning_rate
from tests.unit.diffusion.texture.quick import TEXTURE, files, fine_tune, loaded, settings, settings_of


@pytest.mark.parametrize(
    ("trainable", "moves"),
    [("controlnet", ()), ("controlnet+decoder", ("up_blocks", "conv_norm_out", "conv_out")), ("all", None)],
)
def test_only_the_chosen_parts_are_trained(crops, base, tmp_path, trainable, moves):
    start = model.build(settings_of(base), 32)
    block = settings(base=base, space="latent", trainable=trainable, train={"steps": 4})
    folder = fine_tune(crops, tmp_path, block)
    for name, before in (("unet", start.unet.state_dict()), ("controlnet", start.controlnet.state_dict())):
        after = load_file(folder / f"{name}.safetensors")
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
    network = model.build(settings_of(base), 32)
    unet, controlnet = network.unet.state_dict(), network.controlnet.state_dict()
    shared = [
        key for key in controlnet if key.split(".")[0] in ("conv_in", "time_embedding", "down_blocks", "mid_block")
    ]
    assert len(shared) > 20 and all(torch.equal(controlnet[key], unet[key]) for key in shared)
    noisy, steps = torch.randn(1, *network.space.noise_shape), torch.tensor([500])
    hints = (network.space.hint(torch.randn(1, CHANNELS, 32, 32)) for _ in range(2))
    first, second = (network(noisy, steps, hint) for hint in hints)
    assert torch.equal(first, second)


def test_pixel_space_refuses_a_unet_of_other_channels(base):
    with pytest.raises(InputError, match="block: 2"):
        model.build(TEXTURE.model_copy(update={"base": base, "block": 4}), 32)


def test_an_autoencoder_of_other_channels_than_the_base_is_refused(base, tmp_path):
    AutoencoderTiny(latent_channels=3).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="do not fit together"):
        model.build(settings(base=base, space="latent", autoencoder=str(tmp_path)), 32)


def test_a_base_learns_gently_its_unet_more_so_than_its_controlnet(crops, base, tmp_path):
    block = settings(base=base, space="latent", train={"learning_rate": None})
    fine_tune(crops, tmp_path, block)
    groups = torch.load(next(tmp_path.glob("ck-*/state.pt")), weights_only=True)["optimizer"]["param_groups"]
    network = model.build(block, 32)
    assert [len(group["params"]) for group in groups] == [
        len(list(part.parameters())) for part in (network.unet, network.controlnet)
    ]
    unet, controlnet = (group["lr"] for group in groups)
    assert unet == pytest.approx(0.1 * controlnet) and [group["rate"] for group in groups] == [0.1, 1]
    peak = block.training.learning_rate
    assert 1e-5 <= peak <= 1e-4 and 2e-6 <= block.rates["unet"] * peak <= 1e-5
    assert controlnet == pytest.approx(learning_rate(2, block.training))


def test_what_the_user_sets_stands_and_the_rest_suits_the_base():
    scratch, base = Texture(base="scratch"), Texture(base="sd", space="latent")
    assert (scratch.training.batch_size, scratch.training.accumulation) == (16, 1) and scratch.rates == {"unet": 1}
    assert (base.training.batch_size, base.training.accumulation, base.training.gradient_checkpointing) == (4, 4, True)
    given = {"batch_size": 2, "accumulation": 1, "gradient_checkpointing": False, "learning_rate": 3e-4}
    own = Texture(base="sd", space="latent", unet_rate=0.5, train=TextureTraining(**given))
    assert given.items() <= dict(own.training).items() and own.rates == {"unet": 0.5}


def test_equal_trainings_leave_equal_files_whatever_the_process(crops, tmp_path, monkeypatch):
    """Their digests go on into what is made with them; sets have another order in every process."""
    code = (
        "import sys; from pathlib import Path; from tests.unit.diffusion.texture import quick\n"
        "from cellcascade.diffusion.texture import monitor\n"
        "monitor.MEASURED, monitor.STEPS = 8, 1\n"
        "quick.fine_tune(sys.argv[1], Path(sys.argv[2]), quick.settings(train={'steps': 1}))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(crops), str(tmp_path / "there")]
    assert subprocess.run(command, env=environment).returncode == 0
    monkeypatch.setattr(monitor, "MEASURED", 8)
    monkeypatch.setattr(monitor, "STEPS", 1)
    here = fine_tune(crops, tmp_path / "here", settings(train={"steps": 1}))
    there = files(tmp_path / "there/m")
    assert all(path.read_bytes() == there[name].read_bytes() for name, path in files(here).items())


@pytest.mark.parametrize("name", ["unet", "controlnet", "config"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "another's"])
def test_files_that_are_not_of_one_training_are_refused(crops, tmp_path, name, damage):
    folder = fine_tune(crops, tmp_path / "a", settings(train={"steps": 1}))
    path = files(folder)[name]
    if damage == "another's":
        other = fine_tune(crops, tmp_path / "b", settings(channels=(16, 32), train={"steps": 1}))
        path.write_bytes(files(other)[name].read_bytes())
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        path.unlink()
    with pytest.raises(InputError, match="The texture model cannot be loaded") as caught:
        loaded(folder)
    assert caught.value.where == str(folder)
