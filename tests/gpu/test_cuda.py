"""The same code on a GPU; skipped where there is none."""

import numpy as np
import pytest
import torch

from cellcascade.config.settings import FineTuning, Multiview, Reconstruction, Shapes, Texture, Training
from cellcascade.data.shards import open_shard, write_shard
from cellcascade.data.stores import VOLUMES
from cellcascade.diffusion import multiview
from cellcascade.diffusion.texture import stage as texture
from cellcascade.geometry.shapes import make_shapes
from cellcascade.reconstruction.stage import make_volumes
from tests.sd_base import make_base

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.fixture
def masks(tmp_path):
    y, x = np.mgrid[:64, :64] - 31.5
    discs = np.stack([np.hypot(x, y) < r for r in (14, 18)]).astype(np.uint8)
    arrays = {"mask": discs, "cell_id": np.arange(2, dtype=np.int32), "valid": np.ones(2, np.uint8)}
    write_shard(tmp_path / "masks.zarr.zip", schema="masks/1", arrays=arrays, attributes={"reasons": {}})
    return str(tmp_path / "masks.zarr.zip")


def test_bundled_views_and_volumes_agree_with_those_of_the_cpu(masks, tmp_path):
    volumes = []
    for device in ("cpu", "cuda"):
        views, store = str(tmp_path / f"{device}-views.zarr.zip"), tmp_path / f"{device}.zarr.zip"
        common = {"seed": 0, "device": device, "dataset": "d"}
        multiview.sample(
            "bundled", masks, settings=Multiview(sampling_steps=8).model_dump(mode="json"), store=views, **common
        )
        settings = Reconstruction(resolution=32, steps=100, rays=512, samples=40)
        chosen = {"settings": settings, "shapes": Shapes(), "seeded_as": "d", "max_invalid_fraction": 0.0}
        make_volumes(views=views, masks=masks, store=store, **chosen, **common)
        volumes.append(VOLUMES.open(store)["sdf"] > 0)
    both, either = (volumes[0] & volumes[1]).sum(), (volumes[0] | volumes[1]).sum()
    assert both / either > 0.9


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_textures_are_fine_tuned_and_sampled_in_each_precision(masks, tmp_path, precision):
    generator, discs = np.random.default_rng(0), open_shard(masks, "masks/1")["mask"][:].repeat(8, 0)
    ones = np.ones(len(discs), np.float32)
    arrays = {"image": generator.poisson(10 + 90 * discs).astype(np.uint16), "mask": discs, "area_ratio": ones}
    arrays |= {"frame": ones.astype(np.int32), "z": -ones.astype(np.int32), "widest": ones.astype(np.uint8)}
    arrays |= {"label": np.arange(len(discs), dtype=np.int32), "brightness": 100 * ones, "background": 10 * ones}
    attributes = {"dataset": "discs", "window": [0, 150], "frame_dtype": "uint8"}
    crops = str(tmp_path / "crops.zarr.zip")
    write_shard(crops, schema="crops/1", arrays=arrays, attributes=attributes)
    train = FineTuning(steps=20, batch_size=8, checkpoint_every=10, precision=precision, gradient_checkpointing=True)
    block = Texture(base=make_base(tmp_path / "base"), space="latent", sampling_steps=5, train=train)
    settings = block.model_dump(mode="json")
    common = {"settings": settings, "seed": 0, "device": "cuda"}
    texture.train(crops, folder=str(tmp_path / "m"), checkpoints=str(tmp_path / "ck"), **common)
    losses = np.genfromtxt(tmp_path / "m" / "training.csv", delimiter=",", names=True)["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    store = str(tmp_path / "t.zarr.zip")
    texture.sample(str(tmp_path / "m"), masks, crops=crops, store=store, dataset="d", **common)
    assert open_shard(store, "textures/1")["image"][:].std() > 0


def test_multiview_trains_on_a_gpu(tmp_path):
    chosen = {"views": 4, "cameras": "hemisphere", "surface": "depth"}
    shapes = {"settings": Shapes(), "shapes": (0, 16), "seed": 0}
    make_shapes(**shapes, **chosen, store=tmp_path / "s.zarr.zip")
    settings = Multiview(**chosen, train=Training(steps=20, batch_size=8, learning_rate=1e-3, checkpoint_every=10))
    multiview.train(
        [str(tmp_path / "s.zarr.zip")],
        settings=settings.model_dump(mode="json"),
        folder=tmp_path / "m",
        checkpoints=str(tmp_path / "ck"),
        seed=0,
        device="cuda",
    )
    losses = np.genfromtxt(tmp_path / "m" / "training.csv", delimiter=",", names=True)["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
