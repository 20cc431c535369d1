import numpy as np
import pytest
from scipy import ndimage, signal

from cellcascade.population.bodies import Body, Turn
from cellcascade.population.canvas import Canvas
from cellcascade.population.search import free_corner

SHAPES = {2: (1, 60, 70), 3: (9, 40, 44)}


def comma(ndim, generator):
    """A random mask that is not convex and, in 3D, has a slice less at one end."""
    size = int(generator.integers(7, 15))
    y, x = np.indices((size, size)) - size / 2
    mask = (np.hypot(y, x) < size * 0.45) & ~((y > 0) & (x > 0))
    return mask[None] if ndim == 2 else np.stack([ndimage.binary_erosion(mask), mask, mask])


def crowded(ndim, *, cells=40, cut=True, seed=0):
    """A canvas with cells, none of which was looked for by the search under test, and another cell."""
    generator = np.random.default_rng(seed)
    spacing = (1.0 if ndim == 2 else 2.0, 1.0, 1.0)
    canvas = Canvas(SHAPES[ndim], spacing=spacing, gap=1, reach=6, cut=(cut,) * 3 if ndim == 3 else (True, cut, cut))
    for _ in range(20 * cells):
        mask = comma(ndim, generator)
        mask = mask[ndimage.find_objects(mask.astype(np.uint8))[0]]
        corner = tuple(generator.integers(*canvas.corners(mask.shape)).tolist())
        if canvas.labels.max() < cells and canvas.fits(mask, corner):
            canvas.add(mask, corner, int(canvas.labels.max()) + 1)
    body = Body.of(comma(ndim, generator), canvas.around)
    canvas.free.fit(body)
    return canvas, body


def free_corners(canvas, body):
    """All corners where a body fits and is seen, by what it would cover of the blocked voxels and of the canvas."""
    first, end = canvas.corners(body.mask.shape)
    margin = [(n, n) for n in body.mask.shape]
    found = {}
    for name, voxels in (("blocked", canvas.blocked), ("seen", np.ones(canvas.shape))):
        padded = np.pad(voxels.astype(float), margin)
        found[name] = signal.correlate(padded, body.mask.astype(float), mode="valid", method="direct").round()
    free = np.argwhere((found["blocked"] == 0) & (found["seen"] > 0)) - np.array(body.mask.shape)
    return {tuple(corner) for corner in free.tolist() if (corner >= first).all() and (corner < end).all()}


@pytest.mark.parametrize("ndim", (2, 3))
@pytest.mark.parametrize("cut", (True, False))
def test_no_free_position_is_ruled_out(ndim, cut):
    for seed in range(4):
        canvas, body = crowded(ndim, cut=cut, seed=seed)
        expected = free_corners(canvas, body)
        for extra in range(3):  # clearances are made anew first, and brought up to date then
            plausible = canvas.free.candidates(body, *canvas.corners(body.mask.shape))
            assert expected <= {tuple(corner) for corner in plausible.tolist()}
            assert {tuple(corner) for corner in plausible.tolist() if canvas.fits(body.mask, corner)} == expected
            if not expected:
                break
            canvas.put(body, free_corner(canvas, body, generator=np.random.default_rng(seed)), 100 + extra)
            expected = free_corners(canvas, body)


@pytest.mark.parametrize("seed", range(8))
def test_no_free_position_of_a_large_cell_is_ruled_out_when_clearances_are_known_for_the_first_time(seed):
    """A cell of twelve pixels' radius has blocks of two pixels, and it hardly fits between what is there."""
    canvas = Canvas((1, 90, 100), spacing=(1.0, 1.0, 1.0), gap=0, reach=6, cut=(True, False, False))
    dots = np.random.default_rng(seed).random(canvas.shape) < 0.003
    canvas.free.block(dots, (0, 0, 0))
    y, x = np.indices((25, 25)) - 12
    body = Body.of((np.hypot(y, x) <= 12)[None], canvas.around)
    canvas.free.fit(body)
    expected = free_corners(canvas, body)
    found = canvas.free.candidates(body, *canvas.corners(body.mask.shape)).tolist()
    assert expected and expected <= set(map(tuple, found))


def test_the_coarse_grid_rules_out_most_of_a_dense_field():
    canvas, body = crowded(2, cells=60)
    first, end = canvas.corners(body.mask.shape)
    assert len(canvas.free.candidates(body, first, end)) < 0.2 * np.prod(end - first)


@pytest.mark.parametrize("fullness", (8, 60))
def test_a_place_is_drawn_uniformly_from_all_that_are_free(fullness):
    canvas, body = crowded(2, cells=fullness, seed=3)
    expected, generator = sorted(free_corners(canvas, body)), np.random.default_rng(0)
    drawn = [free_corner(canvas, body, generator=generator) for _ in range(1500)]
    assert len(expected) > 10 and set(drawn) <= set(expected)
    numbers = {corner: number for number, corner in enumerate(expected)}
    shares = np.sort([numbers[corner] for corner in drawn]) / len(expected)
    assert np.abs(shares - np.linspace(0, 1, len(shares))).max() < 0.05  # Kolmogorov-Smirnov, of 1500: 0.042 at 1 %


def test_the_only_place_is_found_and_none_is_found_where_there_is_none():
    canvas = Canvas((1, 300, 300), spacing=(1.0, 1.0, 1.0), gap=0, reach=3, cut=(True, False, False))
    wall = np.ones((1, 300, 300), bool)
    wall[0, 123:132, 40:49] = False
    canvas.add(wall, (0, 0, 0), 1)
    generator = np.random.default_rng(0)
    for edge, expected in ((9, (0, 123, 40)), (10, None)):
        body = Body.of(np.ones((1, edge, edge), bool), canvas.around)
        canvas.free.fit(body)
        assert free_corner(canvas, body, generator=generator) == expected


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror, upside", ((False, False), (True, False), (False, True), (True, True)))
def test_points_go_where_the_voxels_of_an_array_go(quarters, mirror, upside):
    turn, array = Turn(quarters, mirror, upside), np.arange(2 * 3 * 5).reshape(2, 3, 5)
    expected = np.rot90(array, quarters, (1, 2))
    expected = expected[:: -1 if upside else 1, :: -1 if mirror else 1]
    assert np.array_equal(turn.array(array), expected) and turn.shape(array.shape) == expected.shape
    points = np.argwhere(array >= 0)
    assert np.array_equal(expected[tuple(turn.points(points, array.shape).T)], array.ravel())
