import torch

from cellcascade.geometry.raycast import voxel_points
from cellcascade.reconstruction.fields import GridField, PerceptronField, resized

EDGE = 16


def balls(*radii, edge=EDGE):
    """Signed distance volumes of spheres `(n, z, y, x)`."""
    away = voxel_points(edge).norm(dim=-1)
    return torch.stack([radius - away for radius in radii])


def test_a_grid_is_its_volume_and_is_interpolated_between_voxels():
    start = balls(0.4, 0.6)
    field = GridField(start, 0.0, torch.zeros(2))
    assert torch.equal(field.volume(), start)
    points = voxel_points(EDGE).reshape(-1, 3)
    torch.testing.assert_close(field(points.expand(2, -1, -1)), start.flatten(1))
    between = torch.tensor([[0.3, -0.2, 0.1]])
    torch.testing.assert_close(
        field(between.expand(2, -1, -1))[:, 0], torch.tensor([0.4, 0.6]) - between.norm(), atol=0.01, rtol=0
    )


def test_bending_counts_near_the_surface_alone_and_pressure_counts_volume():
    smooth, rough = balls(0.5), balls(0.5)
    rough[0, 8, 8, 4] += 0.1
    far = smooth.clone()
    far[0, 0, 0, 0] += 0.1
    bending = [GridField(volume, 1.0, torch.zeros(1)).penalty() for volume in (smooth, rough, far)]
    assert bending[1] > 1.1 * bending[0] and bending[2] == bending[0]
    pressed = [GridField(balls(radius), 0.0, torch.ones(1)).penalty() for radius in (0.4, 0.6)]
    assert 2 < pressed[1] / pressed[0] < 4  # volumes differ by 1.5 ** 3


def test_each_cell_has_a_penalty_of_its_own():
    together = GridField(balls(0.4, 0.6), 0.5, torch.tensor([0.0, 2.0])).penalty()
    alone = GridField(balls(0.6), 0.5, torch.tensor([2.0])).penalty()
    assert together.shape == (2,) and torch.equal(together[1:], alone)


def test_a_volume_keeps_its_shape_on_a_finer_grid():
    finer = resized(balls(0.5), 2 * EDGE)
    assert finer.shape == (1, 32, 32, 32)
    torch.testing.assert_close(
        finer[:, 2:-2, 2:-2, 2:-2], balls(0.5, edge=2 * EDGE)[:, 2:-2, 2:-2, 2:-2], atol=0.06, rtol=0
    )


def test_perceptrons_begin_close_to_spheres_and_alike_for_all_cells():
    field = PerceptronField(torch.tensor([0.4, 0.6]), EDGE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        volume = field.volume()
    torch.testing.assert_close(volume, balls(0.4, 0.6), atol=0.25, rtol=0)
    torch.testing.assert_close(volume[0] + 0.2, volume[1])
    assert not field.penalty().any() and field.penalty().shape == (2,)
