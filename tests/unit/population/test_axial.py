"""Blur along z that single slices do not show."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from cellcascade.data.along_z import Fading
from cellcascade.data.recording import Recording
from cellcascade.data.stores import TEXTURES
from cellcascade.population.axial import ELONGATED, assumed_fading, edge_width, faded, missing_fall
from cellcascade.population.background import fit_background, read_background
from cellcascade.population.cell_library import CellLibrary
from tests.ctc_data import write_tiff
from tests.stores import write_store
from tests.unit.data.cutting import cut

FADING = Fading(fall=(0.35, 0.55, 0.75, 0.9, 0.97), decay=0.5)
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
    assert assumed_fading(0.0, (1.0, 0.2, 0.2)) is None


def test_where_nothing_is_measured_cells_fade_as_if_blurred_twice_as_much_as_across():
    fading = assumed_fading(1.2, (0.5, 0.25, 0.25))
    along = ELONGATED * 0.6  # of 1.2 pixels, .6 slices
    np.testing.assert_allclose(fading.fall, ndtr((np.arange(len(fading.fall)) + 0.5) / along), atol=1e-6)
    assert fading.fall[-1] > 0.99
    assert fading.decay == pytest.approx((1 - fading.fall[0]) / fading.fall[0], abs=1e-6)


def test_the_ends_of_a_cell_fade_and_its_middle_stays():
    mask = np.zeros((24, 4, 3), bool)
    mask[4:20, 0] = mask[11:14, 1] = mask[2:5, 2] = mask[8:14, 2] = True  # long, short, and in two parts
    made = faded(mask, (0.2, 0.5, 0.8))
    np.testing.assert_allclose(made[4:20, 0, 1], [0.2, 0.5, 0.8, *[1] * 10, 0.8, 0.5, 0.2])
    np.testing.assert_allclose(made[11:14, 1, 1], [0.64, 1, 0.64])  # of .16, .25, .16: the brightest voxel stays
    np.testing.assert_allclose(made[2:5, 2, 1] / made[10, 2, 1], [0.2, 0.3125, 0.2])
    assert (made[~mask] == 1).all()


@pytest.mark.parametrize("dark", [20, 4])
def test_grain_fades_as_shot_noise_does_but_not_below_that_of_the_background(tmp_path, dark):
    rng, mask = np.random.default_rng(0), np.zeros((1, 16, 48, 48), np.uint8)
    mask[:, 2:14, 12:36, 12:36] = 1
    images = np.rint(rng.normal(100 + 400 * (mask > 0), np.where(mask > 0, 20, dark))).astype(np.uint16)
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [16]})
    plain, made = (CellLibrary([store], rim=6, fading=fading).load(0) for fading in (None, FADING))
    inside = slice(16, -16)
    kept = [(made.image[z, inside, inside].mean() - 100) / 400 for z in (2, 3, 7)]
    assert kept[0] < kept[1] - 0.1 < 0.8 and kept[2] == pytest.approx(1, abs=0.02)
    assert np.abs((made.image - plain.image)[~made.mask]).max() < 12  # around it is background, not light
    assert made.signal[2, inside, inside].mean() == pytest.approx(400 * kept[0], rel=0.05)
    grain = [made.image[z, inside, inside].std() for z in (2, 3)]
    assert grain == pytest.approx([20 if dark == 20 else 20 * part**0.5 for part in kept[:2]], rel=0.15)


def ball(folder):
    """A round cell without any fading, in a shard."""
    grid = np.indices((21, 48, 48)) - np.array([10, 23.5, 23.5])[:, None, None, None]
    mask = (np.linalg.norm(grid, axis=0) < 10)[None].astype(np.uint8)
    images = np.where(mask > 0, 500, 100).astype(np.uint16)
    return write_store(TEXTURES, folder / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [21]})


def test_of_the_widest_slice_crops_show_how_its_edges_fade(tmp_path):
    made = CellLibrary([ball(tmp_path)], rim=6, fading=FADING).load(0)
    middle = made.mask.shape[1] // 2
    core = made.image[made.mask.any((1, 2)), middle, middle]
    assert core[0] < 100 + 0.6 * 400 and core[len(core) // 2] > 490
    assert made.image[10][made.mask[10]].min() > 490


@pytest.mark.parametrize("own", [(1, 1, 1), (0.6, 0.8, 0.9), (0.5, 0.9, 1.2)])
def test_cells_of_a_library_fade_as_real_ones_do_however_they_do_themselves(tmp_path, own):
    """Own fading counts, and brighter slices beside the middle do, too."""
    mask, light = np.zeros((1, 17, 48, 48), np.uint8), np.full(17, 400.0)
    mask[:, 1:16, 12:36, 12:36] = 1
    light[1:4], light[13:16] = 400 * np.array(own), 400 * np.array(own[::-1])
    images = np.rint(100 + light[:, None, None] * mask).astype(np.uint16)
    store = write_store(TEXTURES, tmp_path / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [17]})
    made = CellLibrary([store], rim=6, fading=FADING).load(0)
    core = [(plane[20:28, 20:28].mean() - 100) / 400 for plane in made.image[1:16]]
    assert core[:5] == pytest.approx(FADING.fall, abs=0.03) and core[7] == pytest.approx(1, abs=0.01)
    assert core == pytest.approx(core[::-1])


def test_cells_that_are_dimmer_at_their_ends_than_real_ones_are_not_brightened():
    mask = np.zeros((15, 32, 32), bool)
    mask[:, 8:24, 8:24] = True
    light = np.ones((15, 32, 32))
    light[0] = light[-1] = 0.1
    fading = Fading(fall=(0.4, 0.6, 1.0), decay=0.5)
    assert missing_fall(fading, [(light, mask)]) == pytest.approx((1, 0.6, 1))
    assert missing_fall(fading, [(light[[0, 1, -1]], mask[:3])]) == pytest.approx((1, 0.6, 1))  # has no third


def lit_box(folder, light, beside):
    """A box of some light in each slice, and that of the pixels beside it: plain, and as a library fades it."""
    mask = np.zeros((1, len(light), 48, 48), np.uint8)
    mask[:, :, 14:34, 14:34] = 1
    shown = np.where(mask > 0, 1.0, beside * (ndimage.maximum_filter(mask, (1, 1, 7, 7)) > 0))
    images = np.rint(100 + np.array(light)[None, :, None, None] * shown).astype(np.uint16)
    store = write_store(TEXTURES, folder / "t.zarr.zip", {"image": images, "mask": mask, "n_slices": [len(light)]})
    return [CellLibrary([store], rim=6, fading=fading).load(0) for fading in (None, FADING)]


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


@pytest.mark.parametrize("sparse", [True, False])
def test_only_single_slices_leave_the_blur_along_z_unseen(tmp_path, sparse):
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
    if sparse:  # four sections are too few to tell
        assert model.fading.fall[:3] == pytest.approx(assumed_fading(1.2, (1.0, 0.5, 0.5)).fall[:3], abs=0.03)
        assert model.z_decay == model.fading.decay > 0.2
    else:
        assert model.fading is None
