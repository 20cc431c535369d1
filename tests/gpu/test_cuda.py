"""The stages on a GPU; skipped where there is none."""

import numpy as np
import pandas as pd
import pytest
import torch

from cellcascade.config.settings import MaskDDPM, Multiview, Reconstruction, Shapes
from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.config.values import Training
from cellcascade.data.stores import CROPS, MASKS, VOLUMES
from cellcascade.diffusion.mask_ddpm import make_masks, train_mask_ddpm
from cellcascade.diffusion.multiview import make_views, train_multiview
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.evaluation.cellpose.weights import installed
from cellcascade.geometry.shapes import make_shapes
from cellcascade.reconstruction.stage import make_volumes
from tests import segmentation_data
from tests.sd_base import make_base
from tests.stores import write_store
from tests.unit.diffusion.texture import quick

DEVICE = "cuda"
NAMES = {"dataset": "d", "seeded_as": "d", "seed": 0}

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.fixture
def discs():
    y, x = np.mgrid[:64, :64] - 31.5
    return np.stack([np.hypot(x, y) < r for r in (14, 18)]).astype(np.uint8)


@pytest.fixture
def masks(discs, tmp_path):
    return write_store(MASKS, tmp_path / "masks.zarr.zip", {"mask": discs})


def crops_of(discs, folder):
    """Sixteen crops, each with one of the discs."""
    mask, ones = discs.repeat(8, 0), np.ones(16)
    arrays = {"image": np.random.default_rng(0).poisson(10 + 90 * mask), "mask": mask, "label": np.arange(16)}
    arrays |= {"frame": ones, "z": -ones, "widest": ones, "area_ratio": ones}
    arrays |= {"brightness": 100 * ones, "background": 10 * ones}
    return write_store(CROPS, folder / "crops.zarr.zip", arrays, dataset="discs", window=(0, 150))


def falls(table):
    """Whether the loss of a training fell and stayed finite."""
    losses = pd.read_csv(table)["loss"]
    return np.isfinite(losses).all() and losses.iloc[-1] < losses.iloc[0]


def test_bundled_views_and_volumes_agree_with_those_of_the_cpu(masks, tmp_path):
    volumes = []
    for device in ("cpu", DEVICE):
        views, store = tmp_path / f"{device}-views.zarr.zip", tmp_path / f"{device}.zarr.zip"
        common = {"masks": masks, "device": device, "max_invalid_fraction": 0.0, **NAMES}
        make_views(weights="bundled", settings=Multiview(sampling_steps=8), store=views, **common)
        settings = Reconstruction(resolution=32, steps=100, rays=512, samples=40)
        make_volumes(views=views, settings=settings, shapes=Shapes(), store=store, **common)
        volumes.append(VOLUMES.open(store)["sdf"] > 0)
    both, either = (volumes[0] & volumes[1]).sum(), (volumes[0] | volumes[1]).sum()
    assert both / either > 0.9


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_textures_are_fine_tuned_and_sampled_in_each_precision(discs, masks, tmp_path, precision, monkeypatch):
    crops = crops_of(discs, tmp_path)
    train = TextureTraining(steps=20, batch_size=8, accumulation=1, checkpoint_every=10, precision=precision)
    block = Texture(base=make_base(tmp_path / "base"), space="latent", sampling_steps=5, train=train)
    monkeypatch.setattr(quick, "DEVICE", DEVICE)
    model = quick.fine_tune(crops, tmp_path, block)
    assert falls(model / "training.csv")
    assert quick.textures(model, crops, block, tmp_path / "t.zarr.zip", masks=masks)["image"].std() > 0


def test_multiview_trains_on_a_gpu(tmp_path):
    chosen = {"views": 4, "cameras": "hemisphere", "surface": "depth"}
    make_shapes(settings=Shapes(), shapes=(0, 16), seed=0, **chosen, store=tmp_path / "s.zarr.zip")
    settings = Multiview(**chosen, train=Training(steps=20, batch_size=8, learning_rate=1e-3, checkpoint_every=10))
    files = {"weights": tmp_path / "model.safetensors", "config": tmp_path / "config.json", "table": tmp_path / "t.csv"}
    how = {"checkpoints": str(tmp_path / "ck"), "seed": 0, "device": DEVICE}
    train_multiview(shapes=[tmp_path / "s.zarr.zip"], settings=settings, **files, **how)
    assert falls(tmp_path / "t.csv")


def test_hints_are_the_same_planes_on_a_gpu(discs):
    hints = CellHints.of(discs, *np.array([[0.1, 0.5], [0.2, 0.3], [0.4, 0.9]]), np.full((2, 2), 0.05))
    assert torch.equal(hints.planes(DEVICE).cpu(), hints.planes())


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_masks_train_and_those_sampled_agree_with_the_cpus(discs, tmp_path, precision):
    crops = crops_of(discs, tmp_path)
    train = Training(
        steps=60, batch_size=8, learning_rate=2e-3, ema_decay=0.9, checkpoint_every=20, precision=precision
    )
    settings = MaskDDPM(grid=16, channels=(32, 32), layers=1, sampling_steps=10, sampling_batch=8, train=train)
    files = {"weights": tmp_path / "model.safetensors", "config": tmp_path / "config.json", "table": tmp_path / "t.csv"}
    how = {"checkpoints": str(tmp_path / "ck"), "seed": 0, "device": DEVICE}
    train_mask_ddpm(crops=crops, settings=settings, **files, **how)
    assert falls(files["table"])
    drawn = []
    for device in (DEVICE, "cpu"):
        store = tmp_path / f"{device}.zarr.zip"
        made = {"weights": files["weights"], "crops": crops, "store": store, "cells": (0, 16), **NAMES}
        make_masks(settings=settings, device=device, max_invalid_fraction=1.0, **made)
        drawn.append(MASKS.open(store))
    both = (drawn[0]["valid"] * drawn[1]["valid"]).astype(bool)
    there, here = (store["mask"][both] > 0 for store in drawn)
    assert (there & here).sum() >= 0.9 * (there | here).sum()


def test_cellpose_trains_with_statistics_of_its_averaged_weights(tmp_path):
    if not (installed() or "").startswith("3."):
        pytest.skip(f"cellpose {installed()} is installed, not 3")
    data = segmentation_data.make_data(tmp_path)
    train = {"steps": 20, "batch_size": 4, "checkpoint_every": 10}
    settings = segmentation_data.SETTINGS | {"train": train}
    net, _ = segmentation_data.train(data, "both", settings=settings, device=DEVICE)
    assert falls(data / "net/training.csv")
    assert all(torch.isfinite(weights).all() and weights.device.type == "cpu" for weights in net.values())
    assert min(variance.min() for name, variance in net.items() if name.endswith("running_var")) == 0  # empty channel
    segmentation_data.predict(data, "net", "both", device=DEVICE)
    assert np.isfinite(pd.read_csv(data / "net/scores.csv")["seg"]).any()
