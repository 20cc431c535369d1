from dataclasses import replace

import numpy as np
import pytest
import torch

from cellcascade.cameras import CAMERA_SETS, hemisphere, syncdreamer
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import Problem, reprojection_iou
from cellcascade.reconstruction.neus import ray_opacity
from cellcascade.render import occupancy
from cellcascade.seeds import numpy_generator
from cellcascade.settings import Reconstruction, Shapes
from cellcascade.shards import open_shard
from cellcascade.slicing import cut, slice_heights
from cellcascade.spharm import make_shapes, radius_grids, random_coefficients, view_images
from cellcascade.view_images import front_and_back

EDGE = 32


def sphere(radius):
    return torch.full((1, 45, 90), radius)


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


def seen_by(cameras):
    """Three random cells as a problem, and which voxels they hold."""
    settings = Shapes(degree=8)
    coefficients = np.stack([random_coefficients(settings, numpy_generator(1, i)) for i in range(3)])
    radius = radius_grids(coefficients)
    images = torch.from_numpy(view_images(radius, cameras, "depth", EDGE))
    ends, known = front_and_back(images)
    known[:, 0] = False
    depths = ends.where(known[:, :, None], torch.nan)
    return Problem(images[:, :, 0], depths, cameras, np.arange(3), settings, seed=0), occupancy(radius, EDGE) > 0


@pytest.fixture(scope="module")
def problem():
    return seen_by(hemisphere(8).with_input_view())


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


@pytest.mark.parametrize(
    ("method", "field", "least"), [("visual_hull", "grid", 0.9), ("neus", "grid", 0.93), ("neus", "mlp", 0.75)]
)
def test_reconstruction_finds_the_shape_again(problem, method, field, least):
    given, truth = problem
    quick = {"steps": 40, "rays": 256, "samples": 32} if field == "mlp" else {"steps": 100, "rays": 512, "samples": 40}
    volumes = METHODS[method](given, Reconstruction(method=method, field=field, resolution=EDGE, **quick))
    assert np.median([iou(v > 0, t) for v, t in zip(volumes, truth)]) > least
    assert reprojection_iou(volumes, given).median() > least


def test_hull_of_perspective_views_holds_the_shape_and_little_more():
    given, truth = seen_by(syncdreamer(16).with_input_view())
    volumes = METHODS["visual_hull"](given, Reconstruction(method="visual_hull", resolution=EDGE))
    hull = volumes > -1 / EDGE
    assert min(float((h & t).sum() / t.sum()) for h, t in zip(hull, truth)) > 0.99
    assert np.median([iou(h, t) for h, t in zip(hull, truth)]) > 0.8
    assert reprojection_iou(volumes, given).median() > 0.9


def test_neus_gives_each_cell_the_same_volume_whatever_else_is_in_its_batch(problem):
    given, _ = problem
    settings = Reconstruction(resolution=EDGE, steps=20, rays=128, samples=24)
    thrice = [2, 2, 2]
    last = replace(given, images=given.images[thrice], depths=given.depths[thrice], cell_ids=given.cell_ids[thrice])
    together = METHODS["neus"](given, settings)
    assert torch.equal(together, METHODS["neus"](given, settings))
    assert torch.equal(together[2], METHODS["neus"](last, settings)[2])


def test_section_loss_makes_the_central_slice_the_mask(problem):
    given, _ = problem
    settings = {"resolution": EDGE, "steps": 100, "rays": 512, "samples": 40}
    agreement = []
    for weight in (0.0, 1.0):
        volumes = METHODS["neus"](given, Reconstruction(section_weight=weight, **settings))
        middle = volumes[:, EDGE // 2 - 1 : EDGE // 2 + 1].mean(1) > 0
        agreement.append(np.median([iou(m, i > 0) for m, i in zip(middle, given.images[:, 0])]))
    assert agreement[1] > max(0.95, agreement[0])


def test_spharm_volume_has_the_area_of_the_mask(problem):
    given, _ = problem
    volumes = METHODS["spharm"](given, Reconstruction(method="spharm", resolution=EDGE))
    areas = (volumes.amax(1) > 0).float().mean((1, 2))
    wanted = (given.images[:, 0] > 0).float().mean((1, 2))
    assert (areas / wanted - 1).abs().max() < 0.1


def test_opacity_is_zero_outside_one_through_a_body_and_half_at_its_edge():
    depth = torch.linspace(-1, 1, 101)
    for offset, expected in ((-0.5, 0.0), (0.5, 1.0), (0.0, 0.5)):
        distances = (offset - depth.abs() * 0.5).reshape(1, 1, -1)
        assert ray_opacity(distances, torch.tensor([200.0])).item() == pytest.approx(expected, abs=0.02)


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
