"""In an environment with the library `datasets`: the folder opens offline, and its masks are the labels."""

import os
import sys

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"
from datasets import load_dataset  # noqa: E402

folder, reference = sys.argv[1], np.load(sys.argv[2])
data, seen = load_dataset(folder, cache_dir=f"{folder}-cache"), 0
assert set(data) == {"train", "validation"} and {"image", "mask", "name", "cells"} <= set(data["train"].features)
for part in data.values():
    for row in part:
        labels = reference[row["name"]]
        labels = labels[row["z"]] if labels.ndim == 3 else labels
        assert np.array_equal(np.asarray(row["mask"]), labels)
        assert np.asarray(row["image"]).dtype == np.uint16
        seen += 1
assert seen == sum(len(labels) if labels.ndim == 3 else 1 for labels in map(reference.get, reference.files))
