"""The same code on a GPU; skipped where there is none."""

import numpy as np
import pytest
import torch

from cellcascade.diffusion import multiview
from cellcascade.reconstruction import reconstruct
from cellcascade.settings import Multiview, Reconstruction, Shapes, Training
from cellcascade.shards import open_shard, write_shard
from cellcascade.spharm import make_shapes

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
        settings = Reconstruction(resolution=32, steps=100, rays=512, samples=40).model_dump(mode="json")
        shapes = Shapes().model_dump(mode="json")
        reconstruct(views, masks, settings=settings, shapes=shapes, store=store, max_invalid_fraction=0.0, **common)
        volumes.append(open_shard(store, "volumes/1")["sdf"][:] > 0)
    both, either = (volumes[0] & volumes[1]).sum(), (volumes[0] | volumes[1]).sum()
    assert both / either > 0.9


def test_multiview_trains_on_a_gpu(tmp_path):
    chosen = {"views": 4, "cameras": "hemisphere", "surface": "depth"}
    shapes = {"settings": Shapes().model_dump(), "shapes": (0, 16), "seed": 0}
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
