"""Priors of textures: trained on several data sets, checked, fine-tuned until held-out cells no longer improve."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellcascade.config.values import Tuning
from cellcascade.core.errors import InputError
from cellcascade.data.crops import read_crops
from cellcascade.data.stores import CROPS
from cellcascade.diffusion.priors import check_prior, prior_folder
from cellcascade.diffusion.texture.prior import train_texture_prior
from tests.stores import write_store
from tests.unit.diffusion.texture.quick import DEVICE, HOW, cells_shard, files, fine_tune, settings, textures

TUNING = Tuning(steps=9, check_every=3, patience=1, **HOW)
ONE_STEP = TUNING.model_copy(update={"steps": 1})


@pytest.fixture(scope="module")
def prior(crops, tmp_path_factory):
    """A small prior of the discs and of dimmer ones."""
    folder, data = tmp_path_factory.mktemp("prior"), read_crops(crops)
    arrays = {name: getattr(data, name) for name in CROPS.arrays}
    arrays |= {"image": data.image // 2, "brightness": data.brightness / 2, "background": data.background / 2}
    dim = write_store(CROPS, folder / "dim.zarr.zip", arrays, dataset="dim", window=(2, 110), frames=(1,))
    block = settings(train={"steps": 4}, condition_dropout=0.1)
    how = {"table": folder / "training.csv", "checkpoints": str(folder / "ck"), "seed": 0, "device": DEVICE}
    train_texture_prior(crops=[Path(crops), dim], settings=block, domains=6, **files(folder), **how)
    return folder


def test_a_prior_is_fine_tuned_and_stops(crops, prior, tmp_path):
    block = settings(base=str(prior), block=8, tuning=TUNING)
    model = fine_tune(crops, tmp_path, block)
    log = pd.read_csv(model / "training.csv")
    assert 3 <= log["step"].max() <= 9
    record = json.loads((model / "config.json").read_text())
    assert record["settings"]["block"] == 2 and record["size"] == 32  # the prior's block, the crops' size
    cells = cells_shard(tmp_path / "cells.zarr.zip", read_crops(crops).mask[:3])
    made = textures(model, crops, block, tmp_path / "t.zarr.zip", slices=cells)
    assert made["image"].std() > 0


def test_scales_are_those_of_the_data_set(crops, prior, tmp_path):
    made = [
        fine_tune(crops, tmp_path / str(i), settings(base=base, train={"steps": 1}, tuning=ONE_STEP))
        for i, base in enumerate([str(prior), "scratch"])
    ]
    scales = [json.loads((folder / "config.json").read_text())["scales"] for folder in made]
    np.testing.assert_allclose(scales[0]["spread"], scales[1]["spread"], rtol=1e-3)


def test_the_job_warns_of_cells_that_the_prior_does_not_know(crops, prior, tmp_path, caplog):
    data = read_crops(crops)
    arrays = {name: getattr(data, name) for name in CROPS.arrays} | {"mask": np.zeros_like(data.mask)}
    arrays["mask"][:, 14:19, 14:19] = 1
    small = write_store(CROPS, tmp_path / "small.zarr.zip", arrays, dataset="discs", window=(5, 220), frames=(1,))
    fine_tune(small, tmp_path, settings(base=str(prior), tuning=ONE_STEP))
    assert "these are 6 pixels wide" in caplog.text and "base: scratch" in caplog.text


def damage(folder, tmp_path, kind):
    """A copy of a prior with a fault, and what is said of it."""
    copy = tmp_path / "prior"
    copy.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    config = copy / "config.json"
    if kind == "missing":
        (copy / "controlnet.safetensors").unlink()
    elif kind == "truncated":
        (copy / "unet.safetensors").write_bytes((copy / "unet.safetensors").read_bytes()[:-100])
    elif kind == "version":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"prior": 0}))
    elif kind == "no prior":
        record = json.loads(config.read_text())
        record.pop("prior")
        config.write_text(json.dumps(record))
    else:
        record = json.loads(config.read_text())
        record["unet"]["block_out_channels"] = [16, 24]
        config.write_text(json.dumps(record))
    return copy


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "controlnet"),
        ("truncated", "truncated"),
        ("version", "version 0"),
        ("no prior", "prior: Field required"),
    ],
)
def test_a_prior_that_cannot_be_used_is_refused(prior, tmp_path, kind, said):
    with pytest.raises(InputError, match=said) as caught:
        check_prior(damage(prior, tmp_path, kind), "texture")
    assert "snakemake prior" in str(caught.value)


def test_a_prior_of_another_architecture_is_refused(crops, prior, tmp_path):
    with pytest.raises(InputError, match="cannot be loaded"):
        fine_tune(crops, tmp_path, settings(base=str(damage(prior, tmp_path, "architecture")), tuning=TUNING))


def test_bases_that_are_no_priors(tmp_path):
    assert prior_folder("scratch", "texture") is None and prior_folder("scratch", "mask_ddpm") is None
    assert prior_folder(str(tmp_path), "texture") is None  # perhaps a Stable Diffusion model
    assert prior_folder("nuclei", "texture").name == "texture"


def test_cells_that_suit_no_size_are_refused(crops, tmp_path):
    data = read_crops(crops)
    arrays = {name: getattr(data, name) for name in CROPS.arrays} | {"mask": np.zeros_like(data.mask)}
    arrays["mask"][:, 15:17, 15:17] = 1
    tiny = write_store(CROPS, tmp_path / "tiny.zarr.zip", arrays, dataset="tiny", window=(5, 220), frames=(1,))
    how = {"table": tmp_path / "t.csv", "checkpoints": str(tmp_path / "ck"), "seed": 0, "device": DEVICE}
    with pytest.raises(InputError, match="No prior of textures"):
        train_texture_prior(crops=[tiny], settings=settings(), domains=3, **files(tmp_path), **how)
