import numpy as np
import pytest
import torch
from torch.nn import functional

from cellcascade.config.settings import Shapes
from cellcascade.core.seeds import numpy_generator
from cellcascade.geometry.cameras import CAMERA_SETS, hemisphere
from cellcascade.geometry.raycast import surfaces
from cellcascade.geometry.shapes import radius_grids, random_coefficients, view_images
from cellcascade.geometry.view_encoding import depth_images, distance_images, front_and_back

RESOLUTION = 32


def disc(edge, radius, centre=(0.0, 0.0)):
    """Radius and centre `(y, x)` in half widths of the image."""
    y, x = (np.mgrid[:edge, :edge] * 2 + 1) / edge - 1
    return np.hypot(y - centre[0], x - centre[1]) < radius


@pytest.fixture(scope="module")
def radius():
    return radius_grids(np.stack([random_coefficients(Shapes(), numpy_generator(5, i)) for i in range(3)]))


@pytest.mark.parametrize("resolution", [64, 32, 16])
def test_distance_images_tell_the_distance_in_half_widths_on_fewer_pixels(resolution):
    mask = disc(64, 0.6)
    image = distance_images(mask[None, None], resolution)
    y, x = (np.mgrid[:resolution, :resolution] * 2 + 1) / resolution - 1
    assert image.shape == (1, 1, resolution, resolution) and image.dtype == np.float32
    away = np.hypot(y, x) > 1.5 * 2 / resolution  # but for the middle, where the cone's tip is averaged
    np.testing.assert_allclose(image[0, 0][away], (0.6 - np.hypot(y, x))[away], atol=1.2 / 64)
    again = functional.interpolate(torch.from_numpy(image), size=(64, 64), mode="bicubic")[0, 0].numpy() > 0
    assert (again & mask).sum() / (again | mask).sum() > 0.97


@pytest.mark.parametrize("name", ["hemisphere", "syncdreamer"])
def test_front_and_back_come_back_to_within_a_fraction_of_a_pixel(radius, name):
    cameras = CAMERA_SETS[name](4).with_input_view()
    images = torch.from_numpy(view_images(radius, cameras, "depth", RESOLUTION))
    ends, known = front_and_back(images)
    inside, truth = surfaces(radius, cameras, RESOLUTION, samples=96)
    assert images.shape == (3, 5, 3, RESOLUTION, RESOLUTION) and ends.shape == truth.shape
    assert ((images[:, :, 0] > 0) == inside).float().mean() > 0.99
    assert known.sum() > 0.85 * inside.sum() and (known & ~inside).sum() <= 0.002 * inside.sum()
    error = (ends - truth).abs().amax(2)[known & inside] * RESOLUTION / 2
    assert error.median() < 0.1 and np.percentile(error.numpy(), 95) < 0.5


def test_silhouettes_alone_are_the_first_channel(radius):
    cameras = hemisphere(3)
    images = view_images(radius, cameras, "depth", RESOLUTION)
    silhouettes = view_images(radius, cameras, "silhouette", RESOLUTION)
    assert silhouettes.shape == (3, 3, 1, RESOLUTION, RESOLUTION)
    np.testing.assert_array_equal(images[:, :, :1], silhouettes)


def test_depth_of_a_slab_is_its_middle_and_its_squared_half_thickness_and_fades_outside():
    inside = disc(64, 0.5)
    depths = np.stack([np.where(inside, -0.1, 0.0), np.where(inside, 0.5, 0.0)])
    middle, squared = depth_images(inside, depths, 16)
    core = disc(16, 0.35)
    np.testing.assert_allclose(middle[core], 0.2, atol=1e-6)
    np.testing.assert_allclose(squared[core], 0.09, atol=1e-6)
    assert abs(middle[0]).max() < 0.01 and abs(squared[0]).max() == 0
    assert np.abs(np.diff(middle, axis=0)).max() < 0.2  # it fades and does not fall
    rim = (middle > 0.02) & (squared == 0)
    assert rim.any()


def test_what_thin_rims_and_outsides_tell_of_depth_is_not_trusted():
    distance, middle = torch.tensor([[0.2, 0.2, -0.2]]), torch.full((1, 3), 0.1)
    squared = torch.tensor([[0.25, 0.005, 0.25]])
    ends, known = front_and_back(torch.stack([distance, middle, squared]))
    assert known.tolist() == [[True, False, False]]
    assert ends[:, 0, 0].tolist() == pytest.approx([-0.4, 0.6])
    nonsense, _ = front_and_back(torch.stack([distance, middle, -squared]))
    assert torch.equal(nonsense[0], nonsense[1])  # a network may predict less than nothing


def test_empty_silhouettes_have_finite_images_and_no_depth():
    nothing = np.zeros((2, 64, 64), bool)
    distance = distance_images(nothing, 16)
    depth = depth_images(nothing, np.zeros((2, 2, 64, 64), np.float32), 16)
    assert (distance < -1).all() and np.isfinite(distance).all() and (depth == 0).all()
    _, known = front_and_back(torch.from_numpy(np.concatenate([distance[:, None], depth], 1)))
    assert not known.any()
