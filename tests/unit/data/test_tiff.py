"""Pixels of TIFF files are read when they are indexed, and only what is indexed."""

import tracemalloc

import numpy as np
import pytest
import tifffile

from cellcascade.core.errors import InputError
from cellcascade.data.pixels import Pixels, read_header

STACK = np.random.default_rng(0).integers(0, 4000, (6, 40, 50)).astype(np.uint16)
LAYOUTS = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "ImageJ": {"imagej": True},
    "zlib": {"compression": "zlib"},
    "big-endian zlib": {"byteorder": ">", "compression": "zlib"},
    "strips": {"compression": "zlib", "rowsperstrip": 3},
    "tiles": {"compression": "zlib", "tile": (16, 16)},
}


def opened(path, array=STACK, **layout) -> Pixels:
    tifffile.imwrite(path, array, photometric="minisblack", **layout)
    return Pixels(path, read_header(path))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("array", [STACK, STACK[0]], ids=["3D", "2D"])
def test_every_layout_gives_the_same_pixels(tmp_path, layout, array):
    pixels = opened(tmp_path / "t.tif", array, **layout)
    assert pixels.shape == array.shape and pixels.ndim == array.ndim and len(pixels) == len(array)
    for part in (..., 2, slice(1, 4), (slice(None), slice(5, 9)), (3, slice(2, 7))):
        np.testing.assert_array_equal(pixels[part], array[part])
        assert pixels[part].dtype == np.uint16 and pixels[part].dtype.isnative
    np.testing.assert_array_equal(np.stack(list(pixels)), array)
    np.testing.assert_array_equal(np.percentile(pixels, (1, 99)), np.percentile(array, (1, 99)))
    np.testing.assert_array_equal(np.asarray(pixels, float), array.astype(float))


def test_other_slices_are_not_read(tmp_path):
    pixels = opened(tmp_path / "t.tif", compression="zlib")
    with tifffile.TiffFile(pixels.path) as file:
        start, count = file.pages[4].dataoffsets[0], file.pages[4].databytecounts[0]
    content = bytearray(pixels.path.read_bytes())
    content[start : start + count] = b"\xff" * count
    pixels.path.write_bytes(content)
    np.testing.assert_array_equal(pixels[3], STACK[3])
    np.testing.assert_array_equal(pixels[:4], STACK[:4])
    for damaged in (4, slice(3, 5), ...):
        with pytest.raises(InputError, match=r"cannot be read[\s\S]*t\.tif"):
            pixels[damaged]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_slice_takes_the_memory_of_a_slice(tmp_path, compression):
    array = np.tile(np.arange(256, dtype=np.uint8), (40, 256, 4))  # 40 slices of 256 kB
    pixels = opened(tmp_path / "t.tif", array, compression=compression)
    pixels[0]
    tracemalloc.start()
    kept = pixels[20]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.nbytes <= peak < 5 * kept.nbytes


def test_what_was_read_can_be_changed_without_changing_the_file(tmp_path):
    pixels = opened(tmp_path / "t.tif")
    pixels[1][:] = 0
    np.testing.assert_array_equal(pixels[1], STACK[1])


def test_a_second_page_of_another_shape_is_named_with_the_way_to_leave_it_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "t000.tif") as file:
        file.write(STACK[0], photometric="minisblack")
        file.write(STACK[0, ::4, ::4].copy(), photometric="minisblack")
    with pytest.raises(InputError, match="images of different shapes") as caught:
        read_header(tmp_path / "t000.tif")
    assert "(40, 50), (10, 13)" in caught.value.found and "series=0" in caught.value.fix
    tifffile.imwrite(tmp_path / "new.tif", tifffile.imread(tmp_path / "t000.tif", series=0))
    assert read_header(tmp_path / "new.tif").shape == (40, 50)
