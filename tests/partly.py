"""Frames of which only a part is annotated: in the rest lie cells that nobody outlined."""

from pathlib import Path

import numpy as np

from cellcascade.data.recording import Recording
from tests.ctc_data import scene_2d, write_tiff

IGNORED = -1
EDGE = 58  # the first column that nobody annotated; one cell of the scene reaches it
SHARE = 1 - 54 / 112


def partly(folder: Path) -> Recording:
    """Three frames of five cells, whose right part is marked as not annotated; in it everything is bright."""
    generator, labels = np.random.default_rng(3), scene_2d().labels().astype(np.int16)
    labels[:, EDGE:] = IGNORED
    for frame in range(3):
        image = scene_2d().image(generator)
        image[:, EDGE + 2 :] = generator.poisson(200, image[:, EDGE + 2 :].shape)
        write_tiff(folder / f"01/t{frame:03d}.tif", image.clip(0, 255).astype(np.uint8))
        write_tiff(folder / f"01_GT/SEG/man_seg{frame:03d}.tif", labels)
    return Recording(folder, "01", "GT", (0.5, 0.5), ignore_label=IGNORED)
