"""In an environment with StarDist: what its reader of extents says, and a few steps of training as users start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from stardist.utils import calculate_extents  # noqa: E402
from tifffile import imread  # noqa: E402

folder, reference = Path(sys.argv[1]), np.load(sys.argv[2])
read = {}
for part in ("train", "val"):
    images, masks = (sorted((folder / part / name).glob("*.tif")) for name in ("images", "masks"))
    assert images and [path.name for path in images] == [path.name for path in masks]
    read |= {path.stem: imread(path) for path in masks}
assert set(read) == set(reference.files)
assert all(np.array_equal(labels, reference[name]) for name, labels in read.items())
measured = np.median([calculate_extents(labels) for labels in read.values() if labels.any()], axis=0)
assert json.loads((folder / "stardist.json").read_text())["median_extents_px"] == measured.tolist()
subprocess.run([sys.executable, "train.py", "--epochs", "1", "--steps", "2"], cwd=folder, check=True)
assert (folder / "model/weights_best.h5").exists() and (folder / "model/thresholds.json").exists()
