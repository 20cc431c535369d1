"""Predictions on test frames: made frame by frame, joined in one store, read a frame at a time. Free of torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellcascade.data.shards import Store
from cellcascade.data.stores import PREDICTIONS, PredictionsRecord
from cellcascade.metrics.seg import blocks


@dataclass(frozen=True)
class Segmented:
    """A segmented frame, or a part of it.

    Attributes:
        labels: Labels, ([z,] y, x), uint16 or uint32; 0 is background.
        probability: That a pixel is of a cell, by the network, of the same shape, uint8; 255 is 1.
    """

    labels: np.ndarray
    probability: np.ndarray

    def slice(self, z: int | None) -> "Segmented":
        """A slice of a stack; of `None` all."""
        return self if z is None else Segmented(self.labels[z], self.probability[z])

    def confidence(self) -> np.ndarray:
        """Mean probability of each object's pixels, (n), 0 to 1, in ascending order of the labels."""
        counts = np.zeros((2, int(self.labels.max(initial=0)) + 1))
        for labels, probability in zip(blocks(self.labels), blocks(self.probability)):
            for total, weights in zip(counts, (None, probability)):
                some = np.bincount(labels, weights)
                total[: len(some)] += some
        sizes, sums = counts[:, 1:]
        return sums[sizes > 0] / sizes[sizes > 0] / 255


class Predictions(Mapping[int, Segmented]):
    """The segmented frames of a store of predictions by their numbers, read when they are asked for.

    Attributes:
        store: The store.
    """

    def __init__(self, store: Store[PredictionsRecord]):
        self.store = store
        self._rows = {frame: row for row, frame in enumerate(store["frame"].tolist())}

    def __getitem__(self, frame: int) -> Segmented:
        """A frame."""
        row = self._rows[frame]
        return Segmented(self.store.read("mask", row), self.store.read("probability", row))

    def __iter__(self) -> Iterator[int]:
        """Numbers of the frames, in the order of the store."""
        return iter(self._rows)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._rows)


def open_predictions(path: Path) -> Predictions:
    """Open a store of predictions.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    return Predictions(PREDICTIONS.open(path))


def write_frame(path: Path, frame: int, made: Segmented, record: PredictionsRecord) -> None:
    """Write a single frame as a store of its own, whole or not at all."""
    arrays = {"mask": made.labels[None], "probability": made.probability[None]}
    PREDICTIONS.write(path, arrays | {"frame": np.array([frame], np.int32)}, record)


def join_frames(parts: Mapping[int, Path], path: Path, record: PredictionsRecord) -> None:
    """Join the stores of single frames; one frame at a time is in memory.

    Args:
        parts: What `write_frame` wrote, by the numbers of the frames, all of one shape.
        path: Store to write.
        record: Its record.

    Raises:
        InputError: A part is missing or damaged.
    """
    kind = np.result_type(*(_arrays(part, slice(0))["mask"] for part in parts.values()))
    with PREDICTIONS.writer(path) as writer:
        for frame, part in parts.items():
            arrays = _arrays(part)
            arrays["mask"] = arrays["mask"].astype(kind, copy=False)
            writer.append(arrays | {"frame": np.array([frame], np.int32)})
        writer.finish(record)


def _arrays(part: Path, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    store = PREDICTIONS.open(part)
    try:
        return {name: store.read(name, rows) for name in ("mask", "probability")}
    finally:
        store.close()
