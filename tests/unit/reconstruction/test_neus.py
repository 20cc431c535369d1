"""NeuS: what volumes are found, and which cells stop early."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cellcascade.config.settings import Reconstruction
from cellcascade.geometry.cameras import hemisphere, syncdreamer
from cellcascade.reconstruction import METHODS
from cellcascade.reconstruction.base import reprojection_iou
from cellcascade.reconstruction.neus import hollowness, movement, neus, ray_opacity
from tests.unit.bodies import EDGE, dented, ellipsoid, iou, ious, random_bodies, seen_by

VIEWS = hemisphere(8).with_input_view()
# True views agree; the central section of a body need not be its silhouette.
TRUE_VIEWS = {"resolution": EDGE, "section_weight": 0.0, "smoothness": 0.1, "steps": 60, "rays": 256, "samples": 24}
QUICK = {"resolution": EDGE, "steps": 41, "rays": 64, "samples": 16}
KINDS = [("grid", EDGE), ("mlp", EDGE // 2)]  # fields and resolutions


@pytest.fixture(scope="module")
def problem():
    return seen_by(VIEWS, random_bodies(3))


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
    assert torch.equal(together[2], neus(given.part([2, 2, 2]), settings)[2])


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
    torch.testing.assert_close(neus(given.part([1]), settings)[0], volumes[1], atol=1e-4, rtol=0)


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
        alone = neus(given.part([i]), settings[0.355])[0]
        torch.testing.assert_close(alone, volumes[i], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("field", "resolution"), [*KINDS, ("grid", 48)])
def test_a_diverging_cell_becomes_no_number_and_leaves_the_others_alone(problem, field, resolution):
    given, _ = problem
    broken = given.images.clone()
    broken[1, 3] = math.nan
    quick = {"field": field, "resolution": resolution, "tolerance": 0.0, "steps": 22 if field == "mlp" else 41}
    settings = Reconstruction(**QUICK | quick)
    volumes, sound = neus(replace(given, images=broken), settings), neus(given.part([2]), settings)
    assert not volumes[1].isfinite().all() and volumes[0].isfinite().all()
    torch.testing.assert_close(volumes[2], sound[0], atol=1e-4, rtol=0)


def test_a_learning_rate_that_is_far_too_large_ends_at_the_first_look(problem, caplog):
    with caplog.at_level("INFO"):
        volumes = neus(problem[0], Reconstruction(**QUICK | {"steps": 2000, "learning_rate": 1e30}))
    assert "all cells converged at step 20 of 2000" in caplog.text
    assert not volumes.isfinite().flatten(1).all(1).any()


def test_a_cell_without_depth_is_fitted_beside_others(problem):
    given, _ = problem
    blind = given.depths.clone()
    blind[1] = math.nan
    assert neus(replace(given, depths=blind), Reconstruction(**QUICK)).isfinite().all()
