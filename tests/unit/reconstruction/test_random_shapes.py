from cellcascade.config.settings import Reconstruction
from cellcascade.geometry.cameras import hemisphere
from cellcascade.reconstruction.random_shapes import random_volumes
from tests.unit.bodies import EDGE, random_bodies, seen_by


def test_a_random_volume_has_the_area_of_its_mask():
    given, _ = seen_by(hemisphere(8).with_input_view(), random_bodies(3))
    volumes = random_volumes(given, Reconstruction(method="spharm", resolution=EDGE))
    areas = (volumes.amax(1) > 0).float().mean((1, 2))
    wanted = (given.images[:, 0] > 0).float().mean((1, 2))
    assert (areas / wanted - 1).abs().max() < 0.1


def test_a_random_volume_depends_on_the_seed_and_its_number_alone():
    given, _ = seen_by(hemisphere(0).with_input_view(), random_bodies(3))
    settings = Reconstruction(method="spharm", resolution=EDGE)
    together, alone = random_volumes(given, settings), random_volumes(given.part([2]), settings)
    assert together[2].equal(alone[0]) and not together[0].equal(together[2])
