"""Blur along z that single slices do not show."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from cellcascade.data.recording import Recording
from cellcascade.data.stores import TEXTURES
from cellcascade.population.axial import ELONGATED, axial_blur, edge_width, faded
from cellcascade.population.background import fit_background, read_background
from cellcascade.population.cell_library import CellLibrary
from tests.ctc_data import write_tiff
from tests.stores import write_store
from tests.unit.data.cutting import cut

FINE = 8  # a pixel's parts, in which discs are blurred


def disc(blur, *, radius=12, size=64, level=30.0, light=100.0):
    """A bright disc, blurred, and its mask."""
    grid = (np.indices((size * FINE,) * 2) + 0.5) / FINE - size / 2
    sharp = np.hypot(*grid) < radius
    counts = ndimage.gaussian_filter(sharp.astype(float), blur * FINE)
    blocks = (size, FINE, size, FINE)
    return level + light * counts.reshape(blocks).mean((1, 3)), sharp.reshape(blocks).mean((1, 3)) > 0.5


@pytest.mark.parametrize("blur", [0.8, 1.2, 1.6])
def test_the_width_of_edges_is_that_of_their_blur(blur):
    cells = [disc(blur, radius=radius) for radius in (10, 12, 15)]
    noisy = [image + np.random.default_rng(0).normal(0, 5, image.shape) for image, _ in cells]
    assert edge_width(noisy, [mask for _, mask in cells]) == pytest.approx(blur, rel=0.15)


def test_cells_too_small_to_tell_add_no_blur():
    image, mask = disc(1.0, radius=2)
    assert edge_width([image], [mask]) == 0.0 == edge_width([], [])
    assert axial_blur(0.0, (1.0, 0.2, 0.2)) == (0.0, 0.0)


def test_blur_along_z_is_that_across_and_what_is_added():
    blur, decay = axial_blur(1.2, (0.5, 0.25, 0.25))
    assert np.hypot(blur, 0.6) == pytest.approx(ELONGATED * 0.6)  # of 1.2 pixels, .6 slices
    assert decay == pytest.approx((1 - ndtr(0.5 / 1.2)) / ndtr(0.5 / 1.2), abs=1e-6)


def test_the_ends_of_a_cell_fade_and_its_middle_stays():
    across, slices = 1.0, np.arange(24) + 0.5
    light = 100 * np.minimum(ndtr((slices - 4) / across), ndtr((20 - slices) / across))
    light[[*range(4), *range(20, 24)]] = 0  # the slices that show the cell, as sharp as across
    blur, _ = axial_blur(across, (1.0, 1.0, 1.0))
    made = faded(np.broadcast_to(light[:, None, None], (24, 3, 3)), blur)[:, 1, 1]
    np.testing.assert_allclose(made, made[::-1])
    assert made[12] == pytest.approx(100, abs=0.5)
    ends = 100 * ndtr((np.arange(5) + 0.5) / (ELONGATED * across))
    np.testing.assert_allclose(made[4:9], ends, atol=5)


def test_cells_of_a_library_fade_in_their_light_not_in_their_grain(tmp_path):
    rng, mask = np.random.default_rng(0), np.zeros((1, 16, 48, 48), np.uint8)
    mask[:, 2:14, 12:36, 12:36] = 1
    images = np.rint(rng.normal(100 + 400 * (mask > 0), 20)).astype(np.uint16)
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [16]})
    plain, made = (CellLibrary([store], rim=6, z_blur=blur).load(0) for blur in (0.0, 1.5))
    inside = slice(16, -16)
    fall = [(made.image - plain.image)[z, inside, inside] for z in (2, 3, 7)]
    assert fall[0].mean() < -80 and -80 < fall[1].mean() < -20 and abs(fall[2].mean()) < 5
    assert max(part.std() for part in fall) < 8  # grain would be 20
    assert np.abs((made.image - plain.image)[~made.mask]).max() < 8  # around it is background, not light
    assert made.signal[2, inside, inside].mean() == pytest.approx(400 + fall[0].mean(), rel=0.05)


def test_the_small_ends_of_a_round_cell_fade_too(tmp_path):
    """Their pixels lie at the outline: their light must not be taken for dimmer than it is."""
    grid = np.indices((21, 48, 48)) - np.array([10, 23.5, 23.5])[:, None, None, None]
    mask = (np.linalg.norm(grid, axis=0) < 10)[None].astype(np.uint8)
    images = np.where(mask > 0, 500, 100).astype(np.uint16)
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [21]})
    made = CellLibrary([store], rim=6, z_blur=1.7).load(0)
    middle = made.mask.shape[1] // 2
    core = made.image[made.mask.any((1, 2)), middle, middle]
    assert 100 + 0.5 * 400 < core[0] < 100 + 0.75 * 400 and core[len(core) // 2] > 490
    widest = made.image[10][made.mask[10]]
    assert widest.min() > 490, "of the widest slice, the crops show how its edges fade"


def lit_box(folder, light, beside):
    """A box of some light in each slice, and that of the pixels beside it: plain, and as a library fades it."""
    mask = np.zeros((1, len(light), 48, 48), np.uint8)
    mask[:, :, 14:34, 14:34] = 1
    shown = np.where(mask > 0, 1.0, beside * (ndimage.maximum_filter(mask, (1, 1, 7, 7)) > 0))
    images = np.rint(100 + np.array(light)[None, :, None, None] * shown).astype(np.uint16)
    store = write_store(TEXTURES, folder / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [len(light)]})
    return [CellLibrary([store], rim=6, z_blur=blur).load(0) for blur in (0.0, 2.0)]


def test_dim_slices_do_not_dim_the_others(tmp_path):
    light = [400.0] * 16
    light[2] = light[13] = 150.0
    plain, made = lit_box(tmp_path, light, 0.0)
    middle = [cell.image[7][cell.mask[7]].mean() - cell.level for cell in (plain, made)]
    assert middle[1] == pytest.approx(middle[0], rel=0.03)


def test_light_beside_a_cell_fades_with_it(tmp_path):
    plain, made = lit_box(tmp_path, [400.0] * 16, 0.5)
    inside, beside = plain.mask[0], ndimage.maximum_filter(plain.mask[0], 3) & ~plain.mask[0]
    shares = [
        (cell.around[0][beside].mean() - cell.level) / (cell.image[0][inside].mean() - cell.level)
        for cell in (plain, made)
    ]
    assert made.image[0][inside].mean() < 0.8 * plain.image[0][inside].mean()
    assert shares[1] == pytest.approx(shares[0], rel=0.03)


@pytest.mark.parametrize(("sparse", "across"), [(True, 0.6), (False, 0.0)])
def test_only_single_slices_leave_the_blur_along_z_unseen(tmp_path, sparse, across):
    labels, counts = np.zeros((12, 140, 140), np.uint16), np.full((12, 140, 140), 30.0)
    image, mask = disc(1.2)
    for label, (y, x) in enumerate(((3, 3), (3, 73), (73, 3), (73, 73)), 1):
        counts[3:9, y : y + 64, x : x + 64] = image
        labels[3:9, y : y + 64, x : x + 64] = label * mask
    name = "man_seg_000_005.tif" if sparse else "man_seg000.tif"
    write_tiff(tmp_path / "Toy/01/t000.tif", counts.round().astype(np.uint8))
    write_tiff(tmp_path / "Toy/01_GT/SEG" / name, labels[5] if sparse else labels)
    cut(tmp_path / "Toy", annotations="GT", ndim=3, size=64)
    recording, store = Recording(tmp_path / "Toy", "01", "GT", (1.0, 0.5, 0.5)), tmp_path / "background.zarr.zip"
    fit_background(recording=recording, crops=tmp_path / "crops.zarr.zip", rim=6, dataset="toy", store=store)
    model = read_background(store)
    assert model.z_blur == pytest.approx(3**0.5 * across, rel=0.1)
    assert (model.z_decay > 0.5) == sparse
