"""Small images to train Cellpose on, such trainings, and predictions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import torch

from cellcascade.config.settings import Evaluation
from cellcascade.data.ngff import write_image
from cellcascade.data.recording import Recording
from cellcascade.evaluation.cellpose.record import NetworkRecord, read_record
from cellcascade.evaluation.cellpose.train import train_cellpose
from cellcascade.evaluation.scoring import predict_cellpose

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
    (folder / "synthetic/cells.csv").write_text("label\n1\n")
    return folder


def real(data: Path, **other) -> Recording:
    """The annotated frames of `make_data` to learn from."""
    return replace(Recording(data / "D", "01", "ST", (1.0, 1.0)), **other)


def held_out(data: Path, **other) -> Recording:
    """The annotated frames of `make_data` to test on."""
    return replace(Recording(data / "D", "02", "ST", (1.0, 1.0)), **other)


def train(data: Path, regime: str, name: str = "net", settings: dict = SETTINGS, **other) -> tuple[dict, NetworkRecord]:
    """Train a network; give its weights and its record."""
    folder, evaluation = data / name, Evaluation(cellpose=settings)
    train_cellpose(
        **{
            "regime": regime,
            "recording": real(data),
            "synthetic": data / "synthetic",
            "start": None,
            "settings": evaluation.cellpose,
            "train": evaluation.cellpose.train,
            "weights": folder / "model",
            "record": folder / "config.json",
            "table": folder / "training.csv",
            "checkpoints": str(data / "checkpoints" / name),
            "seed": 0,
            "device": "cpu",
            **other,
        }
    )
    return torch.load(folder / "model", weights_only=True), read_record(folder / "config.json")


def predict(data: Path, name: str, regime: str, **other) -> Path:
    """Segment the test frames by a network and score the result; give the table."""
    folder = data / name
    predict_cellpose(
        **{
            "weights": folder / "model",
            "record": folder / "config.json",
            "recording": held_out(data),
            "most": None,
            "volumes": "do_3D",
            "dataset": "D",
            "regime": regime,
            "seed": 0,
            "store": folder / "predictions.zarr.zip",
            "table": folder / "scores.csv",
            "checkpoints": str(data / "checkpoints" / f"predictions-{regime}"),
            "device": "cpu",
            **other,
        }
    )
    return folder / "scores.csv"


def equal(first: dict, second: dict) -> bool:
    """Whether two networks have the same weights."""
    return all(torch.equal(first[name], second[name]) for name in first)
