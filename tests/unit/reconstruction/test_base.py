import pytest
import torch

from cellcascade.geometry.cameras import hemisphere
from cellcascade.geometry.raycast import occupancy, voxel_points
from cellcascade.reconstruction.base import reprojection_iou, view_distance
from tests.unit.bodies import EDGE, ellipsoid, random_bodies, seen_by

VIEWS = hemisphere(4).with_input_view()


@pytest.mark.parametrize("surface", ("depth", "silhouette"))
def test_a_part_of_a_problem_holds_some_of_its_cells(surface):
    given, _ = seen_by(VIEWS, random_bodies(3), surface)
    part = given.part([2, 0])
    assert torch.equal(part.images, given.images[[2, 0]]) and part.cell_ids.tolist() == [2, 0]
    assert part.cameras is given.cameras and part.seed == given.seed
    if surface == "depth":
        torch.testing.assert_close(part.depths, given.depths[[2, 0]], equal_nan=True)
    else:
        assert part.depths is None and part.to(torch.device("cpu")).depths is None


def test_a_sphere_is_as_far_from_points_as_its_silhouettes_are_from_their_projections():
    given, _ = seen_by(VIEWS, ellipsoid(0.5, 0.5, 0.5)[None])
    points = voxel_points(8).reshape(-1, 3)
    distance = view_distance(given.images, VIEWS, points)
    assert distance.shape == (1, 5, 512)
    middle = points[:, :2].norm(dim=-1)  # of the input view's projection
    inside = points.abs().amax(-1) < 0.8
    torch.testing.assert_close(distance[0, 0][inside], (0.5 - middle)[inside], atol=2 / EDGE, rtol=0)


def test_a_body_agrees_with_its_own_views_and_not_with_those_of_another():
    bodies = torch.stack([ellipsoid(0.6, 0.6, 0.6), ellipsoid(0.7, 0.4, 0.5)])
    given, _ = seen_by(VIEWS, bodies)
    own, other = (reprojection_iou(occupancy(some, EDGE), given) for some in (bodies, bodies.flip(0)))
    assert own.shape == (2, 5) and own.min() > 0.95 and other.max() < 0.9
