"""In an environment with napari, on a screen: the plugin opens a folder of synthetic images, and one of them.

The plugin of the OME-Zarr community opens one of them, too.
"""

import sys
from pathlib import Path

import napari
import numpy as np
from napari.qt import get_qapp
from qtpy.QtCore import QTimer

from cellcascade.data.synthetic import open_synthetic
from cellcascade.report.viewer import open_in_napari

folder, reference, picture = Path(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
counts, labels, size_um = reference["counts"], reference["labels"], tuple(reference["size_um"])
axes, ndim = tuple("zyx"[-len(size_um) :]), len(size_um)


def check(viewer, *, leading, shown):
    """The two layers are what is expected, to the pixel."""
    image, cells = viewer.layers
    assert (type(image), image.name) == (napari.layers.Image, "image")
    assert (type(cells), cells.name) == (napari.layers.Labels, "cells")
    assert not image.multiscale and image.data.dtype == cells.data.dtype == np.uint16
    for layer in (image, cells):
        assert tuple(layer.scale) == (1.0,) * len(leading) + size_um, layer.scale
        assert [str(unit) for unit in layer.units] == ["pixel"] * len(leading) + ["micrometer"] * ndim, layer.units
    assert np.array_equal(np.asarray(image.data), counts[shown])
    assert np.array_equal(np.asarray(cells.data), labels[shown])
    low, high = image.contrast_limits
    assert counts.min() <= low < np.median(counts) < high <= counts.max(), (low, high)
    assert tuple(viewer.dims.axis_labels) == (*leading, *axes), viewer.dims.axis_labels


def turn_to(viewer, index):
    """Turn to an image, and in a stack to its fullest plane; gives the share of the canvas that labels must colour."""
    covered = np.atleast_1d((labels[index] > 0).mean((-2, -1)))
    place = ([index] if viewer.dims.ndim > ndim else []) + ([int(covered.argmax())] if ndim == 3 else [])
    for axis, step in enumerate(place):
        viewer.dims.set_current_step(axis, step)
    return covered.max() / 4  # an image fills most of the canvas, and some labels are grey


def looked_at(viewer, path=None):
    """The canvas as it is on the screen, (y, x, colour)."""
    get_qapp().processEvents()
    return viewer.screenshot(path, canvas_only=True, flash=False)[..., :3].astype(int)


def colourful(pixels):
    """Share of the canvas that is in colour, as labels are and images are not."""
    return np.mean(np.ptp(pixels, axis=-1) > 8)


viewer = napari.Viewer()
viewer.open(str(folder), plugin="cellcascade")
check(viewer, leading=("image",), shown=slice(None))

turn_to(viewer, 0)
first = looked_at(viewer)
share = turn_to(viewer, len(counts) - 1)
last = looked_at(viewer, picture)
assert np.any(first != last), "all images look alike"
assert colourful(last) > share > 0, "no labels are seen"
viewer.layers["cells"].visible = False
grey = looked_at(viewer)
assert colourful(grey) == 0 and len(np.unique(grey)) > 20, "no image is seen"
viewer.layers["image"].visible = False
assert len(np.unique(looked_at(viewer))) == 1, "more is seen than the two layers"

viewer.layers.clear()
viewer.open(str(folder / "img-00001.ome.zarr"), plugin="cellcascade")
check(viewer, leading=(), shown=1)
assert turn_to(viewer, 1) < colourful(looked_at(viewer))

viewer.layers.clear()
try:
    viewer.open(str(folder.parent), plugin="cellcascade")
except ValueError as error:
    assert "refused" in str(error), error
else:
    raise AssertionError("a folder of others was not declined")
viewer.close()


def look_and_close():
    """What `cellcascade preview --napari` shows is checked once its window is open and has layers."""
    opened = napari.current_viewer()
    if opened is None or len(opened.layers) < 2:
        QTimer.singleShot(1000, look_and_close)
        return
    try:
        check(opened, leading=("image",), shown=slice(None))
        found.append(turn_to(opened, 0) < colourful(looked_at(opened)))
    finally:
        opened.close()


found = []
get_qapp()
QTimer.singleShot(1000, look_and_close)
open_in_napari(open_synthetic(folder), count=len(counts))
assert found == [True], "the window of the command is not as that of the plugin"

viewer.layers.clear()
viewer.open(str(folder / "img-00001.ome.zarr"), plugin="napari-ome-zarr")
image, cells = viewer.layers
assert (type(image), type(cells)) == (napari.layers.Image, napari.layers.Labels)
assert np.array_equal(np.asarray(image.data[0] if image.multiscale else image.data), counts[1])
assert np.array_equal(np.asarray(cells.data[0] if cells.multiscale else cells.data), labels[1])
assert tuple(image.scale) == tuple(cells.scale) == size_um, (image.scale, cells.scale)
