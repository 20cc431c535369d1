import numpy as np

from cellcascade.config.settings import Reconstruction
from cellcascade.geometry.cameras import hemisphere, syncdreamer
from cellcascade.reconstruction.base import reprojection_iou
from cellcascade.reconstruction.visual_hull import visual_hull
from tests.unit.bodies import EDGE, iou, ious, random_bodies, seen_by


def test_the_hull_finds_the_shape_again():
    given, truth = seen_by(hemisphere(8).with_input_view(), random_bodies(3))
    volumes = visual_hull(given, Reconstruction(method="visual_hull", resolution=EDGE))
    assert np.median(ious(volumes, truth)) > 0.9
    assert reprojection_iou(volumes, given).median() > 0.9


def test_hull_of_perspective_views_holds_the_shape_and_little_more():
    given, truth = seen_by(syncdreamer(16).with_input_view(), random_bodies(3))
    volumes = visual_hull(given, Reconstruction(method="visual_hull", resolution=EDGE))
    hull = volumes > -1 / EDGE
    assert min(float((h & t).sum() / t.sum()) for h, t in zip(hull, truth)) > 0.99
    assert np.median([iou(h, t) for h, t in zip(hull, truth)]) > 0.8
    assert reprojection_iou(volumes, given).median() > 0.9
