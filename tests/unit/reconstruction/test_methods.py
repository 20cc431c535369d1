import numpy as np
import pytest
import torch

from cellcascade.config.settings import Reconstruction, Shapes
from cellcascade.core.seeds import numpy_generator
from cellcascade.data.shards import open_shard
from cellcascade.geometry.cameras import CAMERA_SETS, hemisphere, syncdreamer
from cellcascade.geometry.raycast import occupancy
from cellcascade.geometry.shapes import make_shapes, radius_grids, random_coefficients
from cellcascade.geometry.slicing import cut, slice_heights
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import reprojection_iou
from tests.unit.bodies import EDGE, iou, ious, random_bodies, seen_by


def sphere(radius):
    return torch.full((1, 45, 90), radius)


@pytest.fixture(scope="module")
def problem():
    return seen_by(hemisphere(8).with_input_view(), random_bodies(3))


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
    chosen = {"settings": Shapes(degree=6, resolution=16).model_dump(), "views": 3, "seed": 1}
    for name, shapes in (("a", (0, 4)), ("b", (2, 4))):
        make_shapes(**chosen, cameras=cameras, surface=surface, shapes=shapes, store=tmp_path / f"{name}.zarr.zip")
    a, b = (open_shard(tmp_path / f"{name}.zarr.zip", "spharm/2") for name in "ab")
    np.testing.assert_array_equal(a["coeffs"][2:], b["coeffs"][:])
    np.testing.assert_allclose(a["views"][2:], b["views"][:], atol=1e-6)
    assert a["views"].shape == (4, 4, channels, 16, 16)
    assert torch.equal(torch.from_numpy(a["extrinsics"][1:]), CAMERA_SETS[cameras](3).extrinsics)
    assert a["intrinsics"].shape == (4, 3, 4) and np.array_equal(a["extrinsics"][0], np.eye(4))


def test_the_hull_finds_the_shape_again(problem):
    given, truth = problem
    volumes = METHODS["visual_hull"](given, Reconstruction(method="visual_hull", resolution=EDGE))
    assert np.median(ious(volumes, truth)) > 0.9
    assert reprojection_iou(volumes, given).median() > 0.9


def test_hull_of_perspective_views_holds_the_shape_and_little_more():
    given, truth = seen_by(syncdreamer(16).with_input_view(), random_bodies(3))
    volumes = METHODS["visual_hull"](given, Reconstruction(method="visual_hull", resolution=EDGE))
    hull = volumes > -1 / EDGE
    assert min(float((h & t).sum() / t.sum()) for h, t in zip(hull, truth)) > 0.99
    assert np.median([iou(h, t) for h, t in zip(hull, truth)]) > 0.8
    assert reprojection_iou(volumes, given).median() > 0.9


def test_spharm_volume_has_the_area_of_the_mask(problem):
    given, _ = problem
    volumes = METHODS["spharm"](given, Reconstruction(method="spharm", resolution=EDGE))
    areas = (volumes.amax(1) > 0).float().mean((1, 2))
    wanted = (given.images[:, 0] > 0).float().mean((1, 2))
    assert (areas / wanted - 1).abs().max() < 0.1


def test_slices_of_a_sphere_at_any_spacing():
    sdf = occupancy(sphere(0.6), EDGE)[0].numpy()
    heights = slice_heights(1.0, 0.25)
    masks = cut(sdf, heights, 64)
    assert 0.0 in heights and len(masks) == 5
    radii = np.sqrt(masks.sum((1, 2)) / np.pi) / 32
    np.testing.assert_allclose(radii, np.sqrt(0.36 - np.array([-0.5, -0.25, 0, 0.25, 0.5]) ** 2), atol=0.02)


def test_slicing_keeps_the_largest_body_and_nothing_of_an_empty_volume():
    sdf = np.full((EDGE,) * 3, -0.1, np.float32)
    assert len(cut(sdf, slice_heights(1.0, 0.1), EDGE)) == 0
    sdf[10:20, 10:20, 10:20] = 0.1
    sdf[28:30, 28:30, 28:30] = 0.1
    masks = cut(sdf, slice_heights(1.0, 2 / EDGE), EDGE)
    assert masks[:, 25:, 25:].sum() == 0 and masks.sum() > 500
