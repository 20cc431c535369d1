"""A small texture model: its settings, trained and sampled as the rules do it."""

from pathlib import Path

import torch

from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.data.crops import read_crops
from cellcascade.data.stores import CROPS, SLICES, TEXTURES
from cellcascade.diffusion.texture import model, stage
from tests.stores import write_store

DEVICE = "cpu"
# Networks as small as this are slower in bf16.
HOW = {"batch_size": 4, "learning_rate": 1e-3, "ema_decay": 0.5, "checkpoint_every": 2, "precision": "fp32"}
QUICK = TextureTraining(steps=3, accumulation=1, **HOW)
TEXTURE = Texture(base="scratch", block=2, channels=(16, 16), layers=1, sampling_steps=3, sampling_batch=4, train=QUICK)


def settings(*, train=None, **changes):
    """The small `texture` block with changes."""
    return TEXTURE.model_copy(update=changes | {"train": QUICK.model_copy(update=train or {})})


def settings_of(base):
    """The small `texture` block on a pretrained model."""
    return settings(base=base, space="latent")


def changed(crops, path, **arrays):
    """Crops of which some arrays are others."""
    data = read_crops(crops)
    record = data.record
    kept = {name: getattr(data, name) for name in CROPS.arrays}
    how = {"dataset": record.dataset, "window": record.window, "frames": record.frames}
    return read_crops(write_store(CROPS, path, kept | arrays, **how))


def files(folder: Path) -> dict[str, Path]:
    """The files of a model that are read again."""
    names = {"unet": "unet.safetensors", "controlnet": "controlnet.safetensors", "config": "config.json"}
    return {name: folder / file for name, file in names.items()}


def fine_tune(crops, folder, block):
    """Train as the rule does; gives the folder of the model."""
    tables = {"table": folder / "m/training.csv", "rho": folder / "m/rho.csv", "checkpoints": str(folder / "ck")}
    how = {"sampling_batches": {"discs": block.sampling_batch}, "seed": 0, "device": DEVICE}
    stage.train_texture(crops=Path(crops), settings=block, **files(folder / "m"), **tables, **how)
    return folder / "m"


def loaded(folder):
    """A trained model."""
    return model.load(torch.device("cpu"), **files(folder))


def cells_shard(path, masks, *, first=0, slices=1):
    """Cells with the same outline in all of their slices."""
    arrays = {"mask": masks[:, None].repeat(slices, 1), "n_slices": [slices] * len(masks)}
    return write_store(SLICES, path, arrays | {"cell_id": range(first, first + len(masks))})


def textures(model_folder, crops, block, store, **given):
    """The textures that a model makes of `slices=` or `masks=`."""
    names = {"dataset": "variant", "seeded_as": "d", "seed": 0, "device": DEVICE, "max_invalid_fraction": 1.0}
    given = {"masks": None, "slices": None, "rho": model_folder / "rho.csv"} | names | given
    stage.make_textures(crops=Path(crops), settings=block, store=store, **files(model_folder), **given)
    return TEXTURES.open(store)
