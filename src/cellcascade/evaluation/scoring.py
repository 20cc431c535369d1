"""Test frames, predictions on them, and their scores. Free of torch until a network is used."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cellcascade.config.cellpose_versions import library
from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, digest
from cellcascade.core.logs import progress
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data.ctc import AnnotatedFrame, check_sequence, missing_folder, read_annotated, read_frame
from cellcascade.data.shards import write_shard
from cellcascade.evaluation.gain import paired_gain
from cellcascade.metrics.seg import THRESHOLDS, score

SCHEMA = "predictions/1"
REFERENCES = {"gold": "GT", "silver": "ST"}


def reference_annotations(
    folder: str | Path, sequence: str, ndim: int, most: int | None = None
) -> dict[str, list[AnnotatedFrame]]:
    """Annotated frames of the test sequence, by reference; checked by the headers of their files.

    Args:
        folder: The data set's folder.
        sequence: The test sequence, e.g. `"02"`.
        ndim: Axes of a frame: 2 or 3.
        most: Largest number of frames, evenly spread over those that either reference annotates; `None` for all.

    Returns:
        Annotations by `gold` (GT) and `silver` (ST), whichever is there.

    Raises:
        InputError: The sequence has no annotation at all, or a file cannot be used.
    """
    if not Path(folder).is_dir():
        raise missing_folder(folder)
    there = {name: kind for name, kind in REFERENCES.items() if (Path(folder) / f"{sequence}_{kind}" / "SEG").is_dir()}
    if not there:
        raise InputError(
            f"The test sequence {sequence} has no annotations",
            where=Path(folder).absolute(),
            found=", ".join(sorted(path.name for path in Path(folder).iterdir() if path.is_dir())) or "an empty folder",
            expected=f"{sequence}_GT/SEG or {sequence}_ST/SEG beside {sequence}",
            fix="correct test_sequence, or set it to null: then nothing is evaluated on test frames",
        )
    found = {name: check_sequence(folder, sequence, kind, ndim) for name, kind in there.items()}
    if most is not None:
        chosen = set(evenly_spaced(sorted({item.frame for items in found.values() for item in items}), most))
        found = {name: [item for item in items if item.frame in chosen] for name, items in found.items()}
    return {name: items for name, items in found.items() if items}


def predict(
    weights: str | Path,
    record: str | Path,
    *,
    folder: str | Path,
    sequence: str,
    voxel_size_um: Sequence[float],
    most: int | None,
    settings: Mapping,
    names: Mapping,
    store: str | Path,
    table: str | Path,
    device: str,
) -> None:
    """Segment the test frames with one network and score the result.

    Args:
        weights: Weights of the network.
        record: What it was trained on, as `cellpose.train` wrote it.
        folder: The data set's folder.
        sequence: The test sequence.
        voxel_size_um: Size of a pixel, ([z,] y, x).
        most: Largest number of test frames; `None` for all.
        settings: The `evaluation.cellpose` block.
        names: Columns that name the row: dataset, regime, seed.
        store: Predictions to write, `predictions/1`: mask (frame, [z,] y, x) and frame (frame).
        table: CSV to write: one row a reference.
        device: auto, cpu or cuda.
    """
    from cellcascade.evaluation.cellpose.train import segment
    from cellcascade.learning.device import pick_device

    ndim, about = len(voxel_size_um), json.loads(Path(record).read_text())
    annotations = reference_annotations(folder, sequence, ndim, most)
    images = {item.frame: item.image for items in annotations.values() for item in items}
    version = library(weights)
    model = version.load(weights, pick_device(device))
    made = {}
    for frame in progress(sorted(images), total=len(images), what="test frames"):
        made[frame] = segment(
            model,
            read_frame(images[frame], ndim),
            diameter=about["diameter"],
            anisotropy=voxel_size_um[0] / voxel_size_um[-1],
            volumes=settings["volumes"],
            options=version.EVAL_OPTIONS,
        )
    rows = [
        {**names, **_row(reference, items, made, ndim), **_facts(about)} for reference, items in annotations.items()
    ]
    if len(rows) > 1:  # gold truth beside silver truth annotates some of the cells: the others are no false ones
        rows[0] |= {name: None for name in rows[0] if name == "precision" or name.startswith("f1")}
    largest = max(int(mask.max()) for mask in made.values())
    write_shard(
        store,
        schema=SCHEMA,
        arrays={
            "mask": np.stack(list(made.values())).astype(np.uint16 if largest < 2**16 else np.uint32),
            "frame": np.array(list(made), np.int32),
        },
        attributes={
            **names,
            "sequence": sequence,
            "stage_version": STAGE_VERSIONS["predict_cellpose"],
            "digests": {"weights": digest(weights)},
        },
    )
    with atomic_path(table) as scratch:
        pd.DataFrame(rows).to_csv(scratch, index=False)


def collect(scores: Sequence[str | Path], *, dataset: str, seg: str | Path, gain: str | Path) -> None:
    """Join the scores of all networks of a data set, and compare the regimes seed by seed.

    Args:
        scores: Tables of `predict`; without synthetic images, of the data set that this one may be a variant of.
        dataset: Name of the data set.
        seg: CSV to write: all rows.
        gain: CSV to write: gain over regime real with its interval.
    """
    table = pd.concat([pd.read_csv(path) for path in scores], ignore_index=True).assign(dataset=dataset)
    for path, content in ((seg, table), (gain, paired_gain(table))):
        with atomic_path(path) as scratch:
            content.to_csv(scratch, index=False)


def _row(reference: str, items: Sequence[AnnotatedFrame], made: Mapping[int, np.ndarray], ndim: int) -> dict:
    def pairs():
        for item in items:
            result = made[item.frame]
            yield read_annotated(item, ndim)[1], result if item.z is None else result[item.z]

    got = score(pairs())
    row = {"reference": reference, "seg": got.seg, "n_objects": got.n_objects}
    row |= {"precision": got.precision[0.5], "recall": got.recall[0.5], "f1": got.f1[0.5]}
    row |= {f"f1_{round(100 * t)}": got.f1[t] for t in THRESHOLDS if t > 0.5}
    return {**row, "frames": len({item.frame for item in items})}


def _facts(about: Mapping) -> dict:
    return {name: about[name] for name in ("train_frames", "train_slices", "start", "steps", "diameter", "real_share")}
