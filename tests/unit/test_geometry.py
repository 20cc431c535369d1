from dataclasses import replace

import numpy as np
import pytest
import torch

from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import Problem, reprojection_iou
from cellcascade.reconstruction.neus import ray_opacity
from cellcascade.render import hemisphere_cameras, occupancy, silhouettes, with_input_view
from cellcascade.seeds import numpy_generator
from cellcascade.settings import Reconstruction, Shapes
from cellcascade.shards import open_shard
from cellcascade.slicing import cut, slice_heights
from cellcascade.spharm import distance_images, make_shapes, radius_grids, random_coefficients

EDGE = 32


def sphere(radius):
    return torch.full((1, 45, 90), radius)


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def problem():
    settings = Shapes(degree=8)
    coefficients = np.stack([random_coefficients(settings, numpy_generator(1, i)) for i in range(3)])
    radius = radius_grids(coefficients)
    cameras = torch.from_numpy(with_input_view(hemisphere_cameras(8)))
    images = distance_images(silhouettes(radius, cameras, 2 * EDGE).numpy(), EDGE)
    given = Problem(torch.from_numpy(images), cameras, np.arange(3), settings, seed=0)
    return given, occupancy(radius, EDGE) > 0


def test_cameras_are_rotations_and_look_in_different_directions():
    rotations = hemisphere_cameras(12)[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (12, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)
    forward = rotations[:, 2]
    cosine = np.abs(forward @ forward.T) - np.eye(12)
    assert cosine.max() < 0.95 and (forward[:, 2] >= 0).all()


def test_silhouette_of_a_sphere_is_its_disc_from_everywhere():
    cameras = torch.from_numpy(with_input_view(hemisphere_cameras(4)))
    seen = silhouettes(sphere(0.5), cameras, 64)[0]
    assert seen.float().mean((1, 2)).sub(np.pi / 16).abs().max() < 0.01


def test_input_view_is_the_projection_along_z():
    radius = radius_grids(random_coefficients(Shapes(), numpy_generator(2))[None])
    seen = silhouettes(radius, torch.eye(4)[None], EDGE, samples=EDGE)[0, 0]
    projected = (occupancy(radius, EDGE)[0] > 0).any(0)
    assert iou(seen, projected) > 0.98


def test_random_shapes_are_star_shaped_inside_the_crop_and_differ():
    settings = Shapes(roughness=(0.3, 0.4))
    drawn = [random_coefficients(settings, numpy_generator(0, i)) for i in range(40)]
    radius = radius_grids(np.stack(drawn))
    assert radius.min() > 0.05 and radius.max() < 1
    assert not np.allclose(drawn[0], drawn[1])


def test_shapes_do_not_depend_on_the_shard(tmp_path):
    settings = Shapes(degree=6, resolution=16).model_dump()
    make_shapes(settings=settings, views=3, shapes=(0, 4), store=tmp_path / "a.zarr.zip", seed=1)
    make_shapes(settings=settings, views=3, shapes=(2, 4), store=tmp_path / "b.zarr.zip", seed=1)
    a, b = (open_shard(tmp_path / f"{name}.zarr.zip", "spharm/1") for name in "ab")
    np.testing.assert_array_equal(a["coeffs"][2:], b["coeffs"][:])
    np.testing.assert_allclose(a["views"][2:], b["views"][:], atol=1e-6)
    assert a["views"].shape == (4, 4, 16, 16)


@pytest.mark.parametrize(
    ("method", "field", "least"), [("visual_hull", "grid", 0.9), ("neus", "grid", 0.93), ("neus", "mlp", 0.75)]
)
def test_reconstruction_finds_the_shape_again(problem, method, field, least):
    given, truth = problem
    quick = {"steps": 40, "rays": 256, "samples": 32} if field == "mlp" else {"steps": 100, "rays": 512, "samples": 40}
    volumes = METHODS[method](given, Reconstruction(method=method, field=field, resolution=EDGE, **quick))
    assert np.median([iou(v > 0, t) for v, t in zip(volumes, truth)]) > least
    assert reprojection_iou(volumes, given).median() > least


def test_neus_gives_each_cell_the_same_volume_whatever_else_is_in_its_batch(problem):
    given, _ = problem
    settings = Reconstruction(resolution=EDGE, steps=20, rays=128, samples=24)
    last = replace(given, images=given.images[[2, 2, 2]], cell_ids=given.cell_ids[[2, 2, 2]])
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
