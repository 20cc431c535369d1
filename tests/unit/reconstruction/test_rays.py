import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cellcascade.config.settings import Shapes
from cellcascade.core.seeds import torch_generator
from cellcascade.geometry.cameras import hemisphere, syncdreamer
from cellcascade.reconstruction.base import Problem
from cellcascade.reconstruction.rays import DEPTH_BAND, REACH, RIM, SHARES, Rays, coarse_depths, fine_depths
from tests.unit.bodies import EDGE, ellipsoid, random_bodies, seen_by

VIEWS = hemisphere(8).with_input_view()


@pytest.fixture(scope="module")
def problem():
    return seen_by(VIEWS, random_bodies(3))


@pytest.fixture(scope="module")
def ball():
    """A sphere of radius 0.6."""
    return seen_by(VIEWS, ellipsoid(0.6, 0.6, 0.6)[None])[0]


def generator():
    return torch_generator(0, "test")


def test_most_rays_are_drawn_at_outlines_and_first_at_that_of_the_input_view(problem):
    given, _ = problem
    rays, coverage = Rays(given).draw(300, generator())
    distance = given.images.flatten(1).gather(1, rays).abs() * EDGE / 2
    exact, near = (round(300 * share) for share in SHARES)
    assert distance[:, : exact + near].max() < RIM
    assert rays[:, :exact].max() < EDGE**2 <= rays[:, exact : exact + near].max()
    assert distance[:, exact + near :].max() > 2 * RIM
    torch.testing.assert_close(coverage, (given.images.flatten(1) * EDGE / 2 + 0.5).clamp(0, 1).gather(1, rays))


def test_equal_numbers_give_each_cell_pixels_of_its_own_and_the_same_ones_in_any_batch(problem):
    given, _ = problem
    drawn, alone = Rays(given).draw(300, generator())[0], Rays(given.part([1])).draw(300, generator())[0]
    assert (drawn[0] != drawn[1]).float().mean() > 0.5
    assert torch.equal(drawn[1], alone[0])
    kept = Rays(given)
    kept.keep(torch.tensor([2, 1]))
    assert torch.equal(kept.draw(300, generator())[0], drawn[[2, 1]])


@pytest.mark.parametrize("cameras", [VIEWS, syncdreamer(4).with_input_view()])
def test_points_of_a_ray_are_seen_at_its_pixel(cameras):
    rays = Rays(Problem(torch.zeros(1, len(cameras), EDGE, EDGE), None, cameras, np.arange(1), Shapes(), seed=0))
    chosen = torch.randint(len(cameras) * EDGE**2, (1, 50), generator=generator())
    points = rays.points(chosen, torch.tensor([-0.7, 0.0, 0.9]).expand(1, 50, 3))
    for view, pixel, line in zip(chosen[0] // EDGE**2, chosen[0] % EDGE**2, points[0]):
        uv, _ = cameras.project(line)
        row, column = pixel // EDGE, pixel % EDGE
        wanted = torch.stack([2 * column + 1, 2 * row + 1]) / EDGE - 1
        torch.testing.assert_close(uv[view], wanted.expand(3, -1), atol=1e-5, rtol=0)


def test_fine_samples_surround_the_point_that_lies_deepest():
    coarse = coarse_depths(16, 5, generator(), torch.device("cpu")).expand(2, -1, -1)
    assert coarse.abs().max() <= REACH and (coarse.diff(dim=-1) > 0).all()
    deepest = torch.tensor([-0.5, 0.4])
    fine = fine_depths(coarse, -(coarse - deepest[:, None, None]).abs(), 8, generator())
    nearest = (coarse - deepest[:, None, None]).abs().argmin(-1, keepdim=True)
    offset = fine - coarse.gather(-1, nearest)
    assert offset.abs().max() <= 2 * REACH / 16
    assert (offset[..., :4] < 0).all() and (offset[..., 4:] > 0).all()


def test_points_at_surfaces_know_their_side(ball):
    points, inside, known = Rays(ball).draw_surface(400, generator())
    assert points.shape == (1, 800, 3) and known.all()
    depth = 0.6 - points.norm(dim=-1)  # below the surface; a ray meets it at a slant
    assert depth.abs().max() < DEPTH_BAND + 2 / EDGE
    right = (depth > 0) == (inside > 0.5)
    assert right[depth.abs() > 0.5 / EDGE].float().mean() > 0.97
    assert 0.3 < (inside > 0.5).float().mean() < 0.7


def test_points_at_surfaces_are_unknown_for_a_cell_without_depth(problem):
    given, _ = problem
    blind = given.depths.clone()
    blind[1] = math.nan
    points, _, known = Rays(replace(given, depths=blind)).draw_surface(50, generator())
    assert known[[0, 2]].all() and not known[1].any() and points.isfinite().all()
