"""The mask model: its representations, flawed samples, training and sharding."""

import numpy as np
import pytest
import torch

from cellcascade.config.settings import MaskDDPM, Training
from cellcascade.core.errors import InputError
from cellcascade.data.crops import read_crops
from cellcascade.data.stores import MASKS
from cellcascade.diffusion import mask_ddpm, mask_model
from cellcascade.diffusion.mask_tuning import of_prior
from cellcascade.diffusion.priors import prior_folder

QUICK = Training(steps=3, batch_size=4, learning_rate=1e-3, ema_decay=0.5, checkpoint_every=2, precision="fp32")
SETTINGS = MaskDDPM(
    base="scratch", grid=8, channels=(16, 16), layers=1, sampling_steps=3, sampling_batch=4, train=QUICK
)


def test_encoded_masks_decode_to_themselves(crops):
    masks = read_crops(crops).mask
    for settings in (
        MaskDDPM(base="scratch", grid=16, channels=(16, 16)),
        MaskDDPM(base="scratch", representation="binary", channels=(16, 16)),
    ):
        again = mask_model.decode(mask_model.encode(masks, settings), 32)
        overlap = (again & masks).sum((1, 2)) / (again | masks).sum((1, 2))
        assert overlap.min() > 0.93


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        ([], "empty"),
        ([(slice(5, 9), slice(5, 9)), (slice(12, 16), slice(12, 16))], "fragmented"),
        ([(slice(0, 9), slice(5, 9))], "border"),
        ([(slice(4, 12), slice(4, 12))], ""),
    ],
)
def test_flaws_of_masks_are_named(draw, reason):
    mask = np.zeros((20, 20), np.uint8)
    for box in draw:
        mask[box] = 1
    found = mask_ddpm.flaw(mask, 10)
    assert reason in found and bool(reason) == bool(found)


def trained(crops, folder, settings):
    """Weights of a mask model."""
    made = {"weights": folder / "model.safetensors", "config": folder / "config.json", "table": folder / "training.csv"}
    more = {"checkpoints": str(folder / "ck"), "seed": 0, "device": "cpu"}
    mask_ddpm.train_mask_ddpm(crops=crops, settings=settings, **made, **more)
    return made["weights"]


def make_masks(crops, store, **how):
    run = {"crops": crops, "store": store, "dataset": "discs", "seeded_as": "discs", "seed": 0, "device": "cpu"}
    mask_ddpm.make_masks(config=how["weights"].with_name("config.json"), **run, **how)


def test_mask_model_trains_and_its_samples_do_not_depend_on_sharding(crops, tmp_path):
    weights, drawn = trained(crops, tmp_path, SETTINGS), []
    for name, cells in (("a", (0, 6)), ("b", (4, 6))):
        store, settings = tmp_path / f"{name}.zarr.zip", SETTINGS.model_copy(update={"max_redraws": 2})
        make_masks(crops, store, weights=weights, settings=settings, cells=cells, max_invalid_fraction=1.0)
        drawn.append(MASKS.open(store))
    np.testing.assert_array_equal(drawn[0]["mask"][4:], drawn[1]["mask"])
    assert set(drawn[0]["cell_id"][drawn[0]["valid"] == 0]) == set(drawn[0].record.reasons)


def test_masks_that_are_not_kept_are_drawn_again_and_the_last_one_stays():
    prior = prior_folder("nuclei", "mask_ddpm")
    settings = of_prior(MaskDDPM(sampling_steps=4, max_redraws=3), prior, 64)
    model, asked = mask_model.load(prior / "model.safetensors", settings, 64, torch.device("cpu")), []

    def drawn(kept):
        return mask_ddpm.sample(model, settings, range(6), size=64, min_area=1, seed=0, kept=kept)

    def second(mask, cell, attempt):
        asked.append((cell, attempt))
        return attempt == 1

    first, later, never = drawn(lambda *_: True), drawn(second), drawn(lambda *_: False)
    assert len(first.masks) == len(never.masks) == 6 and not never.reasons
    assert never.redraws == 12 and first.redraws < later.redraws <= 12
    kept = [cell for cell, attempt in asked if attempt == 1]
    assert kept and not any((cell, 2) in asked for cell in kept)
    assert all((later.masks[cell] != never.masks[cell]).any() for cell in kept)


def test_too_many_invalid_cells_stop_the_job(crops, tmp_path):
    settings = SETTINGS.model_copy(update={"max_redraws": 1, "sampling_steps": 1, "eta": 0.0})
    weights, store = trained(crops, tmp_path, settings), tmp_path / "s.zarr.zip"
    with pytest.raises(InputError, match="Too many cells"):
        make_masks(crops, store, weights=weights, settings=settings, cells=(0, 8), max_invalid_fraction=0.0)
    assert not store.exists()


def test_weights_of_another_architecture_are_refused(crops, tmp_path):
    weights = trained(crops, tmp_path, SETTINGS)
    with pytest.raises(InputError, match="cannot be loaded"):
        mask_model.load(weights, SETTINGS.model_copy(update={"channels": (16, 32)}), 32, torch.device("cpu"))


def test_truncated_weights_are_refused(crops, tmp_path):
    weights = trained(crops, tmp_path, SETTINGS)
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot be loaded"):
        mask_model.load(weights, SETTINGS, 32, torch.device("cpu"))
