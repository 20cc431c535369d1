import math

import numpy as np
import pytest
import torch

from cellcascade.config.settings import Shapes
from cellcascade.core.seeds import numpy_generator
from cellcascade.geometry.cameras import CAMERA_SETS, hemisphere, orthographic, syncdreamer
from cellcascade.geometry.raycast import occupancy, surfaces, volume_surfaces
from cellcascade.geometry.shapes import radius_grids, random_coefficients

SETS = pytest.mark.parametrize("name", ["hemisphere", "syncdreamer"])
EDGE = 48


def directions():
    """Unit vectors `(lat, lon, 3)` of a radius grid of one degree."""
    latitude, longitude = torch.meshgrid(
        torch.linspace(math.pi / 2, -math.pi / 2, 181), torch.linspace(0, 2 * math.pi, 361), indexing="ij"
    )
    ring = latitude.cos()
    return torch.stack([ring * longitude.cos(), ring * longitude.sin(), latitude.sin()], -1)


def sphere_at(centre, radius):
    """Radius grid `(1, lat, lon)` of a sphere that holds the origin."""
    along = directions() @ centre
    return (along + (along.square() + radius**2 - centre.square().sum()).sqrt())[None]


def ellipsoid(axes):
    """Radius grid `(1, lat, lon)` of an ellipsoid with half axes along x, y and z."""
    return 1 / (directions() / axes).norm(dim=-1)[None]


def random_shape(index=0):
    return radius_grids(random_coefficients(Shapes(), numpy_generator(2, index))[None])


def image_coordinates():
    u = (2 * torch.arange(EDGE) + 1) / EDGE - 1
    return u[None].expand(EDGE, -1), u[:, None].expand(-1, EDGE)


def test_sphere_seen_by_orthographic_cameras_is_its_disc():
    inside, depths = (found[0] for found in surfaces(torch.full((1, 45, 90), 0.5), hemisphere(4), EDGE))
    u, v = image_coordinates()
    r = torch.hypot(u, v)
    assert (inside == (r < 0.5)).float().mean((1, 2)).min() > 0.99
    core = r < 0.45
    half = (0.25 - r.square()).clamp(min=0).sqrt()
    torch.testing.assert_close(depths[:, 0, core], -half[core].expand(4, -1), atol=0.002, rtol=0)
    torch.testing.assert_close(depths[:, 1, core], half[core].expand(4, -1), atol=0.002, rtol=0)
    assert (depths.movedim(1, -1)[~inside] == 0).all()


def test_sphere_seen_by_perspective_cameras_has_the_outline_of_its_cone():
    radius, distance, focal = 0.5, 3.0, 280 / 128
    inside, depths = (found[0] for found in surfaces(sphere_at(torch.zeros(3), radius), syncdreamer(5), EDGE))
    u, v = image_coordinates()
    q = torch.hypot(u, v) / focal
    outline = radius / math.sqrt(distance**2 - radius**2)
    assert (inside == (q < outline)).float().mean((1, 2)).min() > 0.99
    core = q < 0.9 * outline
    slope = 1 + q.square()
    root = (distance**2 - slope * (distance**2 - radius**2)).clamp(min=0).sqrt()
    for side, sign in ((0, -1), (1, 1)):
        expected = ((distance + sign * root) / slope - distance)[core]
        torch.testing.assert_close(depths[:, side, core], expected.expand(len(depths), -1), atol=0.002, rtol=0)


@SETS
def test_ellipsoid_is_met_where_its_equation_says(name):
    axes, cameras = torch.tensor([0.7, 0.4, 0.55]), CAMERA_SETS[name](5).with_input_view()
    inside, depths = (found[0] for found in surfaces(ellipsoid(axes), cameras, EDGE))
    rays = cameras.lift(cameras.pixel_rays(EDGE), torch.tensor([0.0, 1.0]).expand(6, EDGE**2, 2)) / axes
    start, step = rays[:, :, 0], rays[:, :, 1] - rays[:, :, 0]
    a, b, c = (step * step).sum(-1), (start * step).sum(-1), (start * start).sum(-1) - 1
    root = (b.square() - a * c).reshape(6, EDGE, EDGE)
    a, b = a.reshape(root.shape), b.reshape(root.shape)
    assert (inside == (root > 0)).float().mean((1, 2)).min() > 0.985
    core = root > 0.1 * root.amax((1, 2), keepdim=True)
    assert core.float().mean((1, 2)).min() > 0.05
    for side, sign in ((0, -1), (1, 1)):
        expected = (-b + sign * root.clamp(min=0).sqrt()) / a
        torch.testing.assert_close(depths[:, side][core], expected[core], atol=0.003, rtol=0)


@SETS
def test_a_body_off_the_centre_is_seen_where_its_centre_projects_to(name):
    centre, cameras = torch.tensor([0.25, -0.1, 0.15]), CAMERA_SETS[name](7).with_input_view()
    inside, depths = (found[0] for found in surfaces(sphere_at(centre, 0.4), cameras, EDGE))
    seen, width = (found[:, 0] for found in cameras.project(centre[None]))
    u, v = image_coordinates()
    for view in range(8):
        disc = inside[view]
        assert [float(u[disc].mean()), float(v[disc].mean())] == pytest.approx(seen[view].tolist(), abs=0.012)
        assert math.sqrt(disc.float().mean() * 4 / math.pi) == pytest.approx(0.4 / float(width[view]), rel=0.03)
        middle = tuple(((seen[view].flip(0) + 1) * EDGE / 2).long())
        forward = float(cameras.extrinsics[view, 2, :3] @ centre)
        assert float(depths[view, 0][middle]) == pytest.approx(forward - 0.4, abs=0.01)
        assert float(depths[view, 1][middle]) == pytest.approx(forward + 0.4, abs=0.01)


def test_opposite_cameras_see_mirror_images_with_front_and_back_exchanged():
    cameras = hemisphere(5)
    opposite = orthographic(torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0])) @ cameras.extrinsics)
    (inside, depths), (mirrored, behind) = (surfaces(random_shape(), some, EDGE) for some in (cameras, opposite))
    assert not torch.equal(inside, mirrored)
    assert (inside == mirrored.flip(-1)).float().mean() > 0.999
    both = inside & mirrored.flip(-1)
    torch.testing.assert_close(depths[:, :, 0][both], -behind[:, :, 1].flip(-1)[both], atol=1e-3, rtol=0)


def test_input_view_is_the_projection_along_z_and_its_depths_are_heights():
    radius = random_shape()
    inside, depths = (found[0, 0] for found in surfaces(radius, hemisphere(0).with_input_view(), EDGE))
    volume = occupancy(radius, EDGE)[0] > 0
    projected = volume.any(0)
    assert (inside & projected).sum() / (inside | projected).sum() > 0.98
    both = inside & projected
    first = (2 * volume.int().argmax(0) + 1) / EDGE - 1
    assert (depths[0] - first)[both].abs().max() < 3 / EDGE
    thickness = volume.sum(0) * 2 / EDGE
    assert (depths[1] - depths[0] - thickness)[both].abs().median() < 1 / EDGE


@SETS
def test_volumes_are_seen_as_the_shapes_they_were_made_from(name):
    shapes, cameras = torch.cat([random_shape(0), random_shape(1)]), CAMERA_SETS[name](4).with_input_view()
    inside, depths = surfaces(shapes, cameras, EDGE)
    seen, ends = volume_surfaces(occupancy(shapes, EDGE), cameras, EDGE)
    assert (inside == seen).float().mean() > 0.99
    both = inside & seen
    assert np.percentile((depths - ends).abs().amax(2)[both].numpy(), 90) < 0.5 * 2 / EDGE
    assert (ends.movedim(2, -1)[~seen] == 0).all()


@SETS
def test_shapes_are_rendered_alike_alone_and_beside_others(name):
    shapes, cameras = torch.cat([random_shape(0), random_shape(1)]), CAMERA_SETS[name](3)
    together, alone = surfaces(shapes, cameras, 24), surfaces(shapes[1:], cameras, 24)
    assert torch.equal(together[0][1], alone[0][0])
    torch.testing.assert_close(together[1][1], alone[1][0])
    assert not torch.equal(together[0][0], together[0][1])


def test_number_of_samples_changes_depths_but_little():
    coarse, fine = (surfaces(random_shape(), hemisphere(4), EDGE, samples) for samples in (48, 192))
    both = coarse[0] & fine[0]
    assert (coarse[0] == fine[0]).float().mean() > 0.995
    assert np.percentile((coarse[1] - fine[1]).abs().amax(2)[both].numpy(), 95) < 0.004
