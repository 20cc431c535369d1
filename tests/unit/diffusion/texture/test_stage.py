"""The stages: training, exact resuming, and textures of shards of cells."""

import numpy as np
import pandas as pd
import pytest
import torch

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.data.crops import read_crops, to_unit
from cellcascade.data.stores import MASKS, SLICES
from cellcascade.diffusion.texture import examples
from cellcascade.diffusion.texture.model import build
from cellcascade.diffusion.texture.spaces import PixelSpace
from tests.sd_base import make_base
from tests.stores import write_store
from tests.unit.diffusion.texture.quick import cells_shard, fine_tune, settings, textures


def same_weights(*folders):
    """Whether trained models are equal to the bit."""
    return all(
        len({(folder / f"{name}.safetensors").read_bytes() for folder in folders}) == 1
        for name in ("unet", "controlnet")
    )


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
    made = [textures(model, crops, block, tmp_path / f"{name}.zarr.zip", slices=cells) for name in "ab"]
    images = [store["image"] for store in made]
    assert made[0].record.dataset == "variant" and made[0].record.background == 10
    assert images[0].shape == (5, 1, 32, 32) and images[0].max() <= 255 and images[0].std() > 0
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


def test_pixel_space_learns_its_scales_from_crops_spread_over_all(crops, monkeypatch):
    data, block = read_crops(crops), settings()
    spaces = []
    for most in (3, len(data.image), 4096):
        monkeypatch.setattr(examples, "FITTED", most)
        model = build(block, data.image.shape[-1])
        examples.PixelExamples(model.space, data)
        spaces.append(model.space)
    chosen = np.array(evenly_spaced(range(len(data.image)), 3))
    few = PixelSpace(spaces[0].size, block.block)
    few.fit(torch.from_numpy(to_unit(data.image[chosen], data.record.window))[:, None] * 2 - 1)
    assert torch.equal(spaces[0].mean, few.mean) and torch.equal(spaces[0].spread, few.spread)
    assert torch.equal(spaces[1].mean, spaces[2].mean) and not torch.equal(spaces[0].mean, spaces[1].mean)


class Killed(Exception):
    pass


def test_a_killed_fine_tuning_resumes_to_identical_weights(crops, base, tmp_path, monkeypatch):
    block = settings(base=base, space="latent", train={"steps": 6, "accumulation": 2}, condition_dropout=0.2)
    whole = fine_tune(crops, tmp_path / "whole", block)
    calls, plain = [], examples.diffusion_loss

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 8:  # in the middle of step 4; the checkpoint is that of step 2
            raise Killed
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(examples, "diffusion_loss", dying)
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


@pytest.mark.parametrize("space", ["pixel", "latent"])
@pytest.mark.parametrize("how", [{}, {"sampler": "dpm++", "guidance": 2.0, "condition_dropout": 0.2}])
def test_a_cell_is_the_same_to_the_bit_whatever_its_batch_and_shard(crops, base, tmp_path, space, how):
    block = settings(base=base, space=space, sampling_batch=3, **how)
    model, masks = fine_tune(crops, tmp_path, block), read_crops(crops).mask[:4]
    whole = cells_shard(tmp_path / "whole.zarr.zip", masks, slices=4)
    part = cells_shard(tmp_path / "part.zarr.zip", masks[1:], first=1, slices=4)
    every, some = (
        textures(model, crops, block, tmp_path / f"{i}.zarr.zip", slices=cells)["image"]
        for i, cells in enumerate((whole, part))
    )
    np.testing.assert_array_equal(every[1:], some)  # slice 0 of cell 1 is second in its batch, then first


@pytest.mark.parametrize("kind", [MASKS, SLICES], ids=["masks", "slices"])
def test_a_damaged_shard_is_reported_as_what_it_is(crops, tmp_path, kind):
    folder = tmp_path / "m"
    (tmp_path / "cells.zarr.zip").write_bytes(b"no store")
    cells = {"masks" if kind is MASKS else "slices": tmp_path / "cells.zarr.zip"}
    with pytest.raises(InputError, match="cells.zarr.zip") as caught:
        textures(folder, crops, settings(), tmp_path / "t.zarr.zip", **cells)
    assert kind.tag in caught.value.expected


def test_flat_cells_have_one_slice_and_invalid_ones_none(crops, tmp_path):
    model, masks = fine_tune(crops, tmp_path, settings()), read_crops(crops).mask[:3]
    arrays = {"mask": masks, "valid": [1, 0, 1]}
    cells = write_store(MASKS, tmp_path / "cells.zarr.zip", arrays, reasons={1: "fragmented"})
    store = textures(model, crops, settings(), tmp_path / "t.zarr.zip", masks=cells)
    assert store["image"].shape == (3, 1, 32, 32) and store["n_slices"].tolist() == [1, 1, 1]
    assert store["image"][[0, 2]].any((1, 2, 3)).all() and not store["image"][1].any()
    assert store.record.reasons == {1: "fragmented"}


def test_a_shard_without_valid_cells_has_textures_of_nothing(crops, tmp_path):
    model = fine_tune(crops, tmp_path, settings())
    arrays = {"mask": read_crops(crops).mask[:2], "valid": [0, 0]}
    cells = write_store(MASKS, tmp_path / "cells.zarr.zip", arrays)
    assert not textures(model, crops, settings(), tmp_path / "t.zarr.zip", masks=cells)["image"].any()


def test_random_numbers_depend_on_the_data_set_whose_models_are_used(crops, tmp_path):
    model, made = fine_tune(crops, tmp_path, settings()), []
    cells = cells_shard(tmp_path / "cells.zarr.zip", read_crops(crops).mask[:3])
    for i, names in enumerate(({}, {"dataset": "another"}, {"seeded_as": "another"})):
        made.append(textures(model, crops, settings(), tmp_path / f"{i}.zarr.zip", slices=cells, **names))
    first, variant, other = (store["image"] for store in made)
    np.testing.assert_array_equal(first, variant)
    assert not np.array_equal(first, other) and made[1].record.dataset == "another"
