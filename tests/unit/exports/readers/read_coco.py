"""In an environment with pycocotools: its masks are the labels."""

import sys
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

folder, reference = Path(sys.argv[1]), np.load(sys.argv[2])
expected = {}
for name in reference.files:
    labels = reference[name]
    planes = {name: labels} if labels.ndim == 2 else {f"{name}_z{z:04d}": plane for z, plane in enumerate(labels)}
    expected |= {f"{key}.png": plane for key, plane in planes.items()}
for part in ("train", "val"):
    coco = COCO(str(folder / f"instances_{part}.json"))
    for image in coco.loadImgs(coco.getImgIds()):
        labels = expected.pop(image["file_name"])
        made = np.zeros(labels.shape, int)
        for item in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            made += item["label"] * coco.annToMask(item)
        assert np.array_equal(made, labels)
assert not expected
