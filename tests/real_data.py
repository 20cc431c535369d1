"""The demo's real cells as frames and labels, for tests that write them as a user's own files."""

import numpy as np
import tifffile

from tests.workflow.dry_run import REPOSITORY

DATA = REPOSITORY / "demo/data"
Arrays = list[np.ndarray]


def planes(count: int, edge: int = 256) -> tuple[Arrays, Arrays]:
    """Corners of the demo's frames (y, x), uint8, and their labels."""
    frames = sorted((DATA / "DSB2018-20x/01").glob("t*.tif"))[:count]
    labels = [DATA / "DSB2018-20x/01_GT/SEG" / path.name.replace("t", "man_seg", 1) for path in frames]
    corner = np.s_[:edge, :edge]
    return [tifffile.imread(path)[corner] for path in frames], [tifffile.imread(path)[corner] for path in labels]


def stacks() -> tuple[Arrays, Arrays]:
    """Both stacks of the demo's embryo (z, y, x), uint16, and their labels."""
    folder, names = DATA / "MouseEmbryo", ("01", "02")
    frames = [tifffile.imread(folder / name / "t000.tif") for name in names]
    return frames, [tifffile.imread(folder / f"{name}_ST/SEG/man_seg000.tif") for name in names]
