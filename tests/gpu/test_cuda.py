"""The same code on a GPU; skipped where there is none."""

import numpy as np
import pandas as pd
import pytest
import torch

from cellcascade.config.settings import Multiview, Reconstruction, Shapes
from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.config.values import FineTuning, Training
from cellcascade.core.errors import InputError
from cellcascade.data.stores import CROPS, MASKS, VOLUMES
from cellcascade.diffusion.multiview import make_views, train_multiview
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.geometry.shapes import make_shapes
from cellcascade.learning import training
from cellcascade.learning.objective import Objective
from cellcascade.reconstruction.stage import make_volumes
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
    mask, ones = discs.repeat(8, 0), np.ones(16)
    arrays = {"image": np.random.default_rng(0).poisson(10 + 90 * mask), "mask": mask, "label": np.arange(16)}
    arrays |= {"frame": ones, "z": -ones, "widest": ones, "area_ratio": ones}
    arrays |= {"brightness": 100 * ones, "background": 10 * ones}
    crops = write_store(CROPS, tmp_path / "crops.zarr.zip", arrays, dataset="discs", window=(0, 150))
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
    hints = CellHints.of(discs, *np.array([[0.1, 0.5], [0.2, 0.3], [0.4, 0.9]]))
    assert torch.equal(hints.planes(DEVICE).cpu(), hints.planes())


def test_a_gpu_that_is_too_small_to_train_is_reported(tmp_path):
    model = torch.nn.Linear(8, 8, device=DEVICE)

    def loss(batch):
        return model(batch[0].expand(2**40, 8)).square().mean()

    objective = Objective(lambda generator: (torch.ones(1, 8),), loss)

    how = {"checkpoint": tmp_path / "state.pt", "seed": 0, "device": torch.device(DEVICE), "what": "a test"}
    with pytest.raises(InputError, match="The GPU is too small for a test"):
        training.train(model, objective, FineTuning(steps=2), **how)
