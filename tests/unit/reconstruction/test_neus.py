"""NeuS: where rays are drawn, what volumes are found, and which cells stop early."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cellcascade.config.settings import Reconstruction, Shapes
from cellcascade.core.seeds import torch_generator
from cellcascade.data.shards import open_shard, write_shard
from cellcascade.geometry.cameras import hemisphere, syncdreamer
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import Problem, reprojection_iou
from cellcascade.reconstruction.neus import hollowness, movement, neus, ray_opacity
from cellcascade.reconstruction.rays import DEPTH_BAND, REACH, RIM, SHARES, Rays, coarse_depths, fine_depths
from cellcascade.reconstruction.stage import reconstruct
from tests.unit.bodies import EDGE, dented, ellipsoid, iou, ious, random_bodies, seen_by

VIEWS = hemisphere(8).with_input_view()
# True views agree; the central section of a body need not be its silhouette.
TRUE_VIEWS = {"resolution": EDGE, "section_weight": 0.0, "smoothness": 0.1, "steps": 60, "rays": 256, "samples": 24}
QUICK = {"resolution": EDGE, "steps": 41, "rays": 64, "samples": 16}
KINDS = [("grid", EDGE), ("mlp", EDGE // 2)]  # fields and resolutions


@pytest.fixture(scope="module")
def problem():
    return seen_by(VIEWS, random_bodies(3))


@pytest.fixture(scope="module")
def ball():
    """A sphere of radius 0.6."""
    return seen_by(VIEWS, ellipsoid(0.6, 0.6, 0.6)[None])[0]


def generator():
    return torch_generator(0, "test")


def part(problem, cells):
    """Some of the cells of a problem."""
    depths = None if problem.depths is None else problem.depths[cells]
    return replace(problem, images=problem.images[cells], depths=depths, cell_ids=problem.cell_ids[cells])


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
    drawn, alone = Rays(given).draw(300, generator())[0], Rays(part(given, [1])).draw(300, generator())[0]
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


def test_points_at_surfaces_are_told_their_side(ball):
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
    together = neus(replace(given, depths=blind), Reconstruction(**QUICK))
    assert together.isfinite().all()


def test_opacity_is_zero_outside_one_through_a_body_and_half_at_its_edge():
    depth = torch.linspace(-1, 1, 101)
    for offset, expected in ((-0.5, 0.0), (0.5, 1.0), (0.0, 0.5)):
        distances = (offset - depth.abs() * 0.5).reshape(1, 1, -1)
        assert ray_opacity(distances, torch.tensor([200.0])).item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("cameras", "field", "least"),
    [(VIEWS, "grid", 0.93), (syncdreamer(16).with_input_view(), "grid", 0.93), (VIEWS, "mlp", 0.75)],
)
def test_a_body_is_found_again_from_its_views(cameras, field, least):
    given, truth = seen_by(cameras, random_bodies(1))
    quick = {"steps": 50, "rays": 128, "samples": 16} if field == "mlp" else {}
    volumes = neus(given, Reconstruction(**TRUE_VIEWS | {"field": field} | quick))
    assert ious(volumes, truth)[0] > least and reprojection_iou(volumes, given).median() > least


def test_depth_finds_hollows_that_silhouettes_do_not_show():
    found = {}
    for surface in ("depth", "silhouette"):
        given, truth = seen_by(VIEWS, dented()[None], surface)
        found[surface] = ious(neus(given, Reconstruction(**TRUE_VIEWS)), truth)[0]
    assert found["depth"] > max(0.94, found["silhouette"] + 0.05)


def test_silhouettes_of_rough_bodies_give_more_than_their_hull():
    given, truth = seen_by(VIEWS, random_bodies(4, degree=12, roughness=(0.35, 0.35), power=2.0), "silhouette")
    assert (hollowness(given) > 0).all()
    hull = METHODS["visual_hull"](given, Reconstruction(resolution=EDGE))
    assert np.median(ious(neus(given, Reconstruction(**TRUE_VIEWS)), truth) - ious(hull, truth)) > 0.02


def test_silhouettes_of_convex_bodies_give_no_less_than_their_hull():
    bodies = torch.stack([ellipsoid(0.5, 0.6, 0.7), ellipsoid(0.7, 0.45, 0.5), ellipsoid(0.6, 0.6, 0.6)])
    given, truth = seen_by(VIEWS, bodies, "silhouette")
    assert hollowness(given).max() < 0.1 and hollowness(given)[2] == 0
    hull = METHODS["visual_hull"](given, Reconstruction(resolution=EDGE))
    assert (ious(neus(given, Reconstruction(**TRUE_VIEWS)), truth) - ious(hull, truth)).min() > -0.015


def test_section_loss_makes_the_central_slice_the_mask(problem):
    given, _ = problem
    agreement = []
    for weight in (0.0, 1.0):
        volumes = neus(given, Reconstruction(**TRUE_VIEWS | {"section_weight": weight, "steps": 100}))
        middle = volumes[:, EDGE // 2 - 1 : EDGE // 2 + 1].mean(1) > 0
        agreement.append(np.median([iou(m, i > 0) for m, i in zip(middle, given.images[:, 0])]))
    assert agreement[1] > max(0.95, agreement[0])


@pytest.mark.parametrize(("field", "resolution"), KINDS)
def test_a_cell_has_the_same_volume_whatever_else_is_in_its_batch(problem, field, resolution):
    given, _ = problem
    settings = Reconstruction(
        **QUICK | {"field": field, "resolution": resolution, "steps": 5 if field == "mlp" else 20}
    )
    together = neus(given, settings)
    assert torch.equal(together, neus(given, settings))
    assert torch.equal(together[2], neus(part(given, [2, 2, 2]), settings)[2])


def test_movement_is_in_voxels_near_the_surface_and_not_a_number_for_a_cell_that_is_none():
    before = 0.6 - torch.linspace(-1, 1, EDGE).abs().expand(3, EDGE, EDGE, EDGE)
    after = before + torch.tensor([0.0, 2 / EDGE, math.nan])[:, None, None, None]
    moved = movement(before, after)
    assert moved[0] == 0 and moved[1].item() == pytest.approx(1, abs=1e-4) and moved[2].isnan()


@pytest.mark.parametrize(("field", "resolution"), KINDS)
def test_a_large_tolerance_stops_at_the_first_look(problem, field, resolution, caplog):
    given, _ = problem
    settings = Reconstruction(**QUICK | {"field": field, "resolution": resolution, "steps": 1000, "tolerance": 1e6})
    with caplog.at_level("INFO"):
        volumes = neus(given, settings)
    assert f"all cells converged at step 20 of {settings.steps}" in caplog.text
    torch.testing.assert_close(neus(part(given, [1]), settings)[0], volumes[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("resolution", [EDGE, 48])
def test_cells_that_stop_at_different_steps_keep_their_order_and_change_no_other(resolution):
    bodies = torch.stack([ellipsoid(0.6, 0.6, 0.6), dented(), ellipsoid(0.5, 0.6, 0.7)])
    given, _ = seen_by(VIEWS, bodies)
    settings = {
        tolerance: Reconstruction(
            **QUICK | {"resolution": resolution, "steps": 121, "smoothness": 0.7, "tolerance": tolerance}
        )
        for tolerance in (0.355, 1e6)
    }
    volumes, at_once = (neus(given, chosen) for chosen in settings.values())
    changed = [not torch.allclose(a, b, atol=1e-4) for a, b in zip(volumes, at_once)]
    assert changed == [False, True, False]  # the dented body moves on for longer
    for i in range(3):
        alone = neus(part(given, [i]), settings[0.355])[0]
        torch.testing.assert_close(alone, volumes[i], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("field", "resolution"), [*KINDS, ("grid", 48)])
def test_a_diverging_cell_becomes_no_number_and_leaves_the_others_alone(problem, field, resolution):
    given, _ = problem
    broken = given.images.clone()
    broken[1, 3] = math.nan
    quick = {"field": field, "resolution": resolution, "tolerance": 0.0, "steps": 22 if field == "mlp" else 41}
    settings = Reconstruction(**QUICK | quick)
    volumes, sound = neus(replace(given, images=broken), settings), neus(part(given, [2]), settings)
    assert not volumes[1].isfinite().all() and volumes[0].isfinite().all()
    torch.testing.assert_close(volumes[2], sound[0], atol=1e-4, rtol=0)


def test_a_learning_rate_that_is_far_too_large_ends_at_the_first_look(problem, caplog):
    with caplog.at_level("INFO"):
        volumes = neus(problem[0], Reconstruction(**QUICK | {"steps": 2000, "learning_rate": 1e30}))
    assert "all cells converged at step 20 of 2000" in caplog.text
    assert not volumes.isfinite().flatten(1).all(1).any()


def test_a_cell_that_diverged_is_invalid_with_its_reason_and_the_others_are_kept(problem, tmp_path):
    given, truth = problem
    ids, valid = np.arange(3, dtype=np.int32), np.ones(3, np.uint8)
    silhouettes = given.images[:, 1:, None].numpy().copy()
    silhouettes[1, 4] = np.nan
    common = {"cell_id": ids, "valid": valid}
    cameras = {"extrinsics": VIEWS[1:].extrinsics.numpy(), "intrinsics": VIEWS[1:].intrinsics.numpy()}
    masks, views, store = (tmp_path / f"{name}.zarr.zip" for name in ("masks", "views", "volumes"))
    arrays = {"mask": (given.images[:, 0] > 0).numpy().astype(np.uint8), **common}
    write_shard(masks, schema="masks/1", arrays=arrays, attributes={"reasons": {}})
    write_shard(views, schema="views/2", arrays={"views": silhouettes, **cameras, **common}, attributes={"reasons": {}})
    settings = Reconstruction(**TRUE_VIEWS, cells_at_once=3).model_dump(mode="json")
    chosen = {"shapes": {}, "seed": 0, "device": "cpu", "dataset": "d", "max_invalid_fraction": 0.5}
    reconstruct(str(views), str(masks), settings=settings, store=str(store), **chosen)
    made = open_shard(store, "volumes/1")
    assert made["valid"][:].tolist() == [1, 0, 1] and made.attrs["reasons"] == {"1": "reconstruction diverged"}
    assert np.isfinite(made["sdf"][:]).all() and not (made["sdf"][1] > 0).any()
    assert ious(torch.from_numpy(made["sdf"][:])[[0, 2]], truth[[0, 2]]).min() > 0.9
