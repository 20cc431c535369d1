"""Small images to train Cellpose on, and such trainings."""

import json
from pathlib import Path

import numpy as np
import tifffile
import torch

from cellcascade.data.ctc import ALL
from cellcascade.data.ngff import write_image
from cellcascade.evaluation.cellpose import train as cellpose

SETTINGS = {
    "network_diameter": 17,
    "patch": 32,
    "max_images": 6,
    "train": {"steps": 2, "batch_size": 4, "checkpoint_every": 1},
}


def blobs(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image with four round cells and its labels."""
    generator = np.random.default_rng(seed)
    grid = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for label, middle in enumerate(((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)), 1):
        centre = [n / 2 for n in shape[:-2]] + [n * m + generator.uniform(-2, 2) for n, m in zip(shape[-2:], middle)]
        inside = sum(
            ((g - c) / (2 if len(shape) == 3 and i == 0 else 8)) ** 2 for i, (g, c) in enumerate(zip(grid, centre))
        )
        labels[inside < 1] = label
    image = generator.poisson(10 + 90 * (labels > 0)).astype(np.uint16)
    return image, labels


def make_data(folder: Path) -> Path:
    """A data set with three annotated frames, another one to test on with sparse gold, and two synthetic images."""
    for sequence, kinds in (("01", ("ST",)), ("02", ("ST", "GT"))):
        for frame in range(3):
            image, labels = blobs((64, 64), 10 * int(sequence) + frame)
            files = {f"{sequence}/t{frame:03d}.tif": image}
            files |= {f"{sequence}_{kind}/SEG/man_seg{frame:03d}.tif": labels for kind in kinds}
            for name, pixels in files.items():
                (folder / "D" / name).parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / "D" / name, pixels)
    (folder / "D/02_GT/SEG/man_seg002.tif").unlink()
    for index in range(2):
        image, labels = blobs((64, 64), 100 + index)
        path = folder / f"synthetic/img-{index:05d}.ome.zarr"
        write_image(path, image, labels, voxel_size_um=(1.0, 1.0), levels=1)
    (folder / "synthetic/dataset.json").write_text("{}")
    return folder


def real(data, **other) -> dict:
    frames = {"folder": data / "D", "sequence": "01", "annotations": "ST", "voxel_size_um": (1.0, 1.0)}
    return {**frames, "annotated": ALL, **other}


def train(data, regime, name="net", **other):
    folder = data / name
    options = {"real": real(data), "synthetic": data / "synthetic", "start": None, "settings": SETTINGS, "seed": 0}
    paths = {"weights": folder / "model", "record": folder / "config.json", "table": folder / "training.csv"}
    options |= {**paths, "checkpoints": str(data / "checkpoints" / name), "device": "cpu", **other}
    cellpose.train(regime=regime, **options)
    return torch.load(folder / "model", weights_only=True), json.loads((folder / "config.json").read_text())


def equal(first: dict, second: dict) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
