import numpy as np
import pytest
import torch

from cellcascade.geometry.cameras import CAMERA_SETS, hemisphere, orthographic, syncdreamer
from cellcascade.geometry.raycast import voxel_points

SETS = pytest.mark.parametrize("name", ["hemisphere", "syncdreamer"])


def centres(cameras):
    """Where perspective cameras stand, `(V, 3)`."""
    return -torch.einsum("vkc,vk->vc", cameras.extrinsics[:, :3, :3], cameras.extrinsics[:, :3, 3])


@SETS
@pytest.mark.parametrize("views", [1, 8, 16])
def test_cameras_are_rigid_motions_and_all_look_at_the_origin(name, views):
    cameras = CAMERA_SETS[name](views)
    rotation = cameras.extrinsics[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(views, -1, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(views))
    seen, _ = cameras.project(torch.zeros(1, 3))
    assert len(cameras) == views and seen.abs().max() < 1e-6


@SETS
def test_points_lifted_off_pixels_project_back_to_them(name):
    cameras = CAMERA_SETS[name](7).with_input_view()
    generator = torch.Generator().manual_seed(0)
    uv = torch.rand(8, 20, 2, generator=generator) * 2 - 1
    depth = torch.rand(8, 20, 5, generator=generator) * 2 - 1
    points = cameras.lift(uv, depth)
    for v in range(8):
        seen, _ = cameras[v : v + 1].project(points[v].reshape(-1, 3))
        torch.testing.assert_close(seen[0].reshape(20, 5, 2), uv[v, :, None].expand(-1, 5, -1), atol=1e-5, rtol=0)
        forward = points[v] @ cameras.extrinsics[v, 2, :3]
        torch.testing.assert_close(forward, depth[v], atol=1e-5, rtol=0)


@SETS
def test_width_is_how_far_a_point_moves_that_moves_by_half_an_image(name):
    cameras, point = CAMERA_SETS[name](5), torch.tensor([[0.2, -0.3, 0.1]])
    seen, width = cameras.project(point)
    for v in range(5):
        right = cameras.extrinsics[v, 0, :3]
        moved, _ = cameras[v : v + 1].project(point + 0.1 * right)
        torch.testing.assert_close((moved[0, 0] - seen[v, 0]) * width[v], torch.tensor([0.1, 0.0]), atol=1e-5, rtol=0)
    if name == "hemisphere":
        assert (width == 1).all()


def test_input_view_comes_first_and_is_the_projection_along_z():
    cameras = syncdreamer(3).with_input_view()
    points = torch.rand(10, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen, width = cameras.project(points)
    assert len(cameras) == 4 and torch.equal(cameras[1:].extrinsics, syncdreamer(3).extrinsics)
    torch.testing.assert_close(seen[0], points[:, :2])
    assert (width[0] == 1).all() and not torch.allclose(seen[1], points[:, :2], atol=0.1)
    assert len(hemisphere(0).with_input_view()) == len(syncdreamer(0).with_input_view()) == 1


def test_rays_of_the_input_view_run_through_the_voxels():
    points = orthographic(torch.eye(4)[None]).pixel_points(6, 6)[0]
    torch.testing.assert_close(points.permute(2, 0, 1, 3), voxel_points(6))


@SETS
def test_pixel_in_row_i_and_column_j_has_its_centre_where_the_conventions_say(name):
    cameras = CAMERA_SETS[name](2)
    points = cameras.pixel_points(8, 3)
    seen, _ = cameras[1:].project(points[1, 5, 2])
    expected = torch.tensor([2 * 2 + 1, 2 * 5 + 1]) / 8 - 1
    torch.testing.assert_close(seen[0], expected.expand(3, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("views", [4, 8, 12, 16])
def test_hemisphere_looks_into_different_directions_away_from_the_viewer(views):
    forward = hemisphere(views).extrinsics[:, 2, :3]
    lines = torch.cat([forward, torch.tensor([[0.0, 0.0, 1.0]])])
    cosine = (lines @ lines.T).abs().fill_diagonal_(0)
    assert cosine.max() < np.cos(np.deg2rad(18)) and (forward[:, 2] >= 0).all()


def test_syncdreamer_has_the_published_numbers():
    cameras = syncdreamer(16)
    x, y, z = centres(cameras).unbind(-1)
    cube = 2.0  # the crop's side, in world units
    torch.testing.assert_close(centres(cameras).norm(dim=-1), torch.full((16,), 1.5 * cube))
    torch.testing.assert_close(torch.rad2deg(torch.asin(-y / 3)), torch.full((16,), 30.0))
    azimuth = torch.rad2deg(torch.atan2(x, -z))
    torch.testing.assert_close(torch.remainder(azimuth + 1, 360) - 1, 22.5 * torch.arange(16.0), atol=1e-3, rtol=0)
    assert abs(x[0]) < 1e-6 and z[0] < 0  # over the viewer, who looks along +z
    right = cameras.extrinsics[5, 0, :3]
    seen, _ = cameras[5:6].project(0.1 * cube * right[None])
    assert seen[0, 0].tolist() == pytest.approx([280 * 0.1 / 1.5 / 128, 0], abs=1e-5)


def test_vertical_of_syncdreamers_images_is_the_input_views():
    above, _ = syncdreamer(16).project(torch.tensor([[0.0, -0.3, 0.0]]))
    assert (above[:, 0, 1] < -0.1).all() and above[:, 0, 0].abs().max() < 1e-6
