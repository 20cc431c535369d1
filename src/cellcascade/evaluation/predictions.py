"""Predictions on test frames: made frame by frame, joined in one store, read a frame at a time. Free of torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cellcascade.data.shards import Store
from cellcascade.data.stores import PREDICTIONS, PredictionsRecord


class Predictions(Mapping[int, np.ndarray]):
    """The labels ([z,] y, x) of a store of predictions by the numbers of their frames, read when they are asked for.

    Attributes:
        store: The store.
    """

    def __init__(self, store: Store[PredictionsRecord]):
        self.store = store
        self._rows = {frame: row for row, frame in enumerate(store["frame"].tolist())}

    def __getitem__(self, frame: int) -> np.ndarray:
        """Labels of a frame."""
        return self.store.read("mask", self._rows[frame])

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


def write_frame(path: Path, frame: int, labels: np.ndarray, record: PredictionsRecord) -> None:
    """Write the labels ([z,] y, x) of a single frame as a store of their own, whole or not at all."""
    PREDICTIONS.write(path, {"mask": labels[None], "frame": np.array([frame], np.int32)}, record)


def join_frames(parts: Mapping[int, Path], path: Path, record: PredictionsRecord) -> None:
    """Join the stores of single frames; one frame at a time is in memory.

    Args:
        parts: What `write_frame` wrote, by the numbers of the frames, all of one shape.
        path: Store to write.
        record: Its record.

    Raises:
        InputError: A part is missing or damaged.
    """
    kind = np.result_type(*(_labels(part, slice(0)) for part in parts.values()))
    with PREDICTIONS.writer(path) as writer:
        for frame, part in parts.items():
            writer.append({"mask": _labels(part).astype(kind, copy=False), "frame": np.array([frame], np.int32)})
        writer.finish(record)


def _labels(part: Path, rows: slice = slice(None)) -> np.ndarray:
    store = PREDICTIONS.open(part)
    try:
        return store.read("mask", rows)
    finally:
        store.close()
