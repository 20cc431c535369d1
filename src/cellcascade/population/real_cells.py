"""Real cells in the form of synthetic ones: images composed of them are the baseline that a user has without models.

Copying annotated cells and pasting them elsewhere costs nothing; only what generated cells add to that is their worth.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.data.cells import CellStack, real_stacks
from cellcascade.data.crops import SEED, Crops, make_crops, read_crops
from cellcascade.data.recording import Recording
from cellcascade.data.shards import digests_of
from cellcascade.data.stores import TEXTURES, TexturesRecord

EVERY = 10_000  # slices of a cell: all of them


def make_real_cells(
    *, recording: Recording, dataset: str, settings: CropSettings, crops: Path, store: Path, threads: int = 1
) -> None:
    """Stage `real_cells`: the usable real cells of a sequence, whole, as a shard of textured cells.

    Args:
        recording: The annotated frames.
        dataset: Name of the data set.
        settings: The `crops` block of the configuration.
        crops: The crops store; in 2D it holds the cells. Of stacks, all slices of each cell are cut anew.
        store: Shard to write, `TEXTURES`.
        threads: Frames that are worked on at once.

    Raises:
        InputError: The data cannot be used, or no cell is annotated as a whole.
    """
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        source = crops
        if recording.ndim == 3:
            source = Path(folder) / "crops.zarr.zip"
            every = settings.model_copy(update={"slices_per_cell": EVERY})
            make_crops(
                recording=recording,
                dataset=dataset,
                settings=every,
                store=source,
                table=Path(folder) / "crops.csv",
                threads=threads,
            )
        found = read_crops(source)
        depths = [len(cell.z) for cell in _whole_cells(found)]
        if not depths:
            raise _no_whole_cell(recording)
        record = TexturesRecord(
            dataset=dataset,
            seed=SEED,
            background=float(np.median(found.background)),
            redraws=0,
            digests=digests_of([crops]),
        )
        with TEXTURES.writer(store) as writer:
            for number, cell in enumerate(_whole_cells(found)):
                writer.append(_entry(number, cell, max(depths)))
            writer.finish(record)


def _whole_cells(crops: Crops) -> Iterator[CellStack]:
    """Cells of which no slice is missing; of stacks, those that were annotated on one slice alone do not count."""
    volumes = crops.record.ndim == 3
    for cell in real_stacks(crops):
        if not volumes or (len(cell.z) > 1 and (np.diff(cell.z) == 1).all()):
            yield cell


def _entry(number: int, cell: CellStack, slices: int) -> dict[str, np.ndarray]:
    """A cell as arrays of `TEXTURES`, filled up to a number of slices."""
    more = [(0, slices - len(cell.z)), (0, 0), (0, 0)]
    return {
        "image": np.pad(cell.image, more)[None],
        "mask": np.pad(cell.mask, more)[None],
        "n_slices": np.array([len(cell.z)], np.int32),
        "cell_id": np.array([number], np.int32),
        "valid": np.ones(1, np.uint8),
    }


def _no_whole_cell(recording: Recording) -> InputError:
    return InputError(
        "Real cells cannot be pasted",
        where=recording.annotation_folder,
        found="no cell that is annotated as a whole",
        expected="stacks of which all slices are annotated: a slice alone cannot be pasted into a stack",
        fix="leave copy_paste out of evaluation.regimes",
    )
