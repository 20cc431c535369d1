import numpy as np
import pytest
import torch

from cellcascade.config.settings import Shapes
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.stores import SHAPES
from cellcascade.geometry.cameras import CAMERA_SETS
from cellcascade.geometry.shapes import make_shapes, radius_grids, random_coefficients


def test_random_shapes_are_star_shaped_inside_the_crop_and_differ():
    settings = Shapes(roughness=(0.3, 0.4))
    drawn = [random_coefficients(settings, numpy_generator(0, i)) for i in range(40)]
    radius = radius_grids(np.stack(drawn))
    assert radius.min() > 0.05 and radius.max() < 1
    assert not np.allclose(drawn[0], drawn[1])


@pytest.mark.parametrize(
    ("cameras", "surface", "channels"), [("hemisphere", "silhouette", 1), ("syncdreamer", "depth", 3)]
)
def test_shapes_do_not_depend_on_the_shard(tmp_path, cameras, surface, channels):
    chosen = {"settings": Shapes(degree=6, resolution=16), "views": 3, "seed": 1}
    for name, shapes in (("a", (0, 4)), ("b", (2, 4))):
        make_shapes(**chosen, cameras=cameras, surface=surface, shapes=shapes, store=tmp_path / f"{name}.zarr.zip")
    a, b = (SHAPES.open(tmp_path / f"{name}.zarr.zip") for name in "ab")
    np.testing.assert_array_equal(a["coeffs"][2:], b["coeffs"])
    np.testing.assert_allclose(a["views"][2:], b["views"], atol=1e-6)
    assert (b.record.dataset, b.record.seed, b.record.shapes) == ("shared", 1, (2, 4))
    assert a["views"].shape == (4, 4, channels, 16, 16)
    assert torch.equal(torch.from_numpy(a["extrinsics"][1:]), CAMERA_SETS[cameras](3).extrinsics)
    assert a["intrinsics"].shape == (4, 3, 4) and np.array_equal(a["extrinsics"][0], np.eye(4))
