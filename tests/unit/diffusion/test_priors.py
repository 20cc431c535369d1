"""The priors that come with the package."""

import json

import pytest
import torch

from cellcascade.config.settings import MaskDDPM
from cellcascade.config.values import BUNDLED, BUNDLED_GRID, BUNDLED_STEP
from cellcascade.core.errors import InputError
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.diffusion import mask_model
from cellcascade.diffusion.mask_tuning import of_prior
from cellcascade.diffusion.priors import check_prior, files_of, prior_folder
from cellcascade.diffusion.texture import model as texture_model


@pytest.mark.parametrize("kind", ["texture", "mask_ddpm"])
def test_the_bundled_priors_are_whole_of_this_version_and_described(kind):
    folder = prior_folder(BUNDLED, kind)
    assert check_prior(folder, kind)["prior"] == STAGE_VERSIONS[f"train_{kind}_prior"]
    assert {path.name for path in folder.iterdir()} == {*files_of(kind), "training.csv"}
    card = (folder.parent / "MODEL_CARD.md").read_text()
    assert "CC0" in card and "BBBC038" in card
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert size <= {"texture": 12e6, "mask_ddpm": 3e6}[kind]


def test_what_the_configuration_knows_of_the_bundled_priors_is_true():
    texture = check_prior(prior_folder(BUNDLED, "texture"), "texture")
    levels = len(texture["unet"]["block_out_channels"])
    assert 4 * 2 ** (levels - 1) == BUNDLED_STEP and texture["unet"]["in_channels"] == 4**2
    assert MaskDDPM(**check_prior(prior_folder(BUNDLED, "mask_ddpm"), "mask_ddpm")["settings"]).grid == BUNDLED_GRID


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_bundled_priors_work_on_crops_of_every_size(size):
    folder = prior_folder(BUNDLED, "texture")
    files = {name: folder / f"{name}.safetensors" for name in ("unet", "controlnet")}
    network = texture_model.load(torch.device("cpu"), **files, config=folder / "config.json", size=size)
    shape = (1, *network.space.noise_shape)
    hint = network.space.hint(torch.zeros(1, 7, size, size))
    with torch.no_grad():
        assert network(torch.zeros(shape), torch.zeros(1, dtype=torch.long), hint).shape == shape
    masks = prior_folder(BUNDLED, "mask_ddpm")
    settings = of_prior(MaskDDPM(), masks, size)
    assert mask_model.load(masks / "model.safetensors", settings, size, torch.device("cpu")).config.sample_size == 32


def test_crops_that_the_grid_does_not_divide_are_refused():
    with pytest.raises(InputError, match="does not fit the crops"):
        of_prior(MaskDDPM(), prior_folder(BUNDLED, "mask_ddpm"), 80)


def test_a_prior_of_masks_that_is_truncated_is_refused(tmp_path):
    for path in prior_folder(BUNDLED, "mask_ddpm").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match="truncated"):
        check_prior(tmp_path, "mask_ddpm")
    assert json.loads((tmp_path / "config.json").read_text())["prior"] == 1
