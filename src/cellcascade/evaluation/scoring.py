"""Test frames, predictions on them, and their scores. Free of torch until a network is used."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cellcascade.core.choice import evenly_spaced
from cellcascade.core.errors import InputError
from cellcascade.core.files import write_table
from cellcascade.data.annotated import AnnotatedFrame
from cellcascade.data.ctc import missing_folder
from cellcascade.data.recording import Recording
from cellcascade.data.shards import digests_of
from cellcascade.data.stores import PredictionsRecord
from cellcascade.evaluation.cellpose.record import NetworkRecord, Regime, read_record
from cellcascade.evaluation.gain import RECALLS, paired_gain
from cellcascade.evaluation.predictions import Segmented, join_frames, open_predictions
from cellcascade.evaluation.strata import object_traits, seg_by_stratum
from cellcascade.metrics.ranking import precision_at_recall
from cellcascade.metrics.seg import score

REFERENCES: dict[str, Literal["GT", "ST"]] = {"gold": "GT", "silver": "ST"}
FACTS = ("train_frames", "train_slices", "train_cells", "start", "steps", "diameter", "real_share")  # of a network
Row = dict[str, str | float | None]  # scores or facts by their column


def reference_annotations(recording: Recording, most: int | None = None) -> dict[str, list[AnnotatedFrame]]:
    """Annotated frames of a test sequence, by reference; checked by the headers of their files.

    Args:
        recording: The test sequence; all its annotations of both kinds count.
        most: Largest number of frames, evenly spread over those that either reference annotates; `None` for all.

    Returns:
        Annotations by `gold` (GT) and `silver` (ST), whichever is there.

    Raises:
        InputError: The sequence has no annotation at all, or a file cannot be used.
    """
    if not recording.folder.is_dir():
        raise missing_folder(recording.folder)
    kinds = {name: recording.all_of(kind) for name, kind in REFERENCES.items()}
    found = {name: kind.checked_frames() for name, kind in kinds.items() if kind.has_annotations}
    if not found:
        raise _no_annotations(recording)
    if most is not None:
        chosen = set(evenly_spaced(sorted({item.frame for items in found.values() for item in items}), most))
        found = {name: [item for item in items if item.frame in chosen] for name, items in found.items()}
    return {name: items for name, items in found.items() if items}


def predict_cellpose(
    *,
    weights: Path,
    record: Path,
    recording: Recording,
    most: int | None,
    volumes: Literal["do_3D", "stitch"],
    dataset: str,
    regime: Regime,
    seed: int,
    store: Path,
    table: Path,
    checkpoints: str,
    device: str,
) -> None:
    """Stage `predict_cellpose`: segment the test frames with one network and score the result.

    Args:
        weights: Weights of the network.
        record: What it was trained on, a `NetworkRecord`.
        recording: The test sequence.
        most: Largest number of test frames; `None` for all.
        volumes: 3D: `do_3D`, flows of the three orientations, or `stitch`, planes joined by overlap.
        dataset: Name of the data set.
        regime: What the network learned from.
        seed: Number of the training.
        store: Predictions to write, `PREDICTIONS`.
        table: CSV to write: one row per reference.
        checkpoints: Prefix of the folder of frames that are segmented already, which also carries a fingerprint.
        device: auto, cpu or cuda.

    Raises:
        InputError: A frame, an annotation or the network cannot be used.
    """
    from cellcascade.evaluation.cellpose.predict import predictions_folder, segment_frames

    network, annotations = read_record(record), reference_annotations(recording, most)
    frames = {item.frame: item for items in annotations.values() for item in items}
    names, digests = {"dataset": dataset, "regime": regime, "seed": seed}, digests_of([weights, record])
    about = PredictionsRecord(**names, sequence=recording.sequence, digests=digests)
    folder = predictions_folder(checkpoints, weights, record, recording, frames, volumes)
    parts = segment_frames(
        weights, network, recording, frames, volumes=volumes, device=device, folder=folder, record=about
    )
    join_frames(parts, store, about)
    rows = score_rows(recording, annotations, open_predictions(store))
    write_table(table, pd.DataFrame([{**names, **row, **_facts(network)} for row in rows]))
    shutil.rmtree(folder, ignore_errors=True)  # all that is in it is in the store


def score_rows(
    recording: Recording, annotations: Mapping[str, Sequence[AnnotatedFrame]], made: Mapping[int, Segmented]
) -> list[Row]:
    """Score a segmentation of test frames.

    Args:
        recording: The test sequence.
        annotations: Its annotations by reference.
        made: Segmented frames by their numbers; one is asked for at a time.

    Returns:
        One row per reference: `reference`, `seg`, `n_objects`, `precision`, `recall`, `f1` (at IoU 0.5), `f1_60` to
        `f1_90`, `ap_50`, `ap_75`, `ap_90`, `precision_at_50` to `precision_at_95` (see `RECALLS`), `seg_dim` and the
        others of `STRATA`, `frames`. Gold truth beside silver truth annotates some of the cells: as the others are no
        false ones, it has no `precision`, no `f1` and no `ap`.
    """
    rows = [_row(recording, reference, items, made) for reference, items in annotations.items()]
    if len(rows) > 1:
        rows[0] |= {name: None for name in rows[0] if name.startswith(("precision", "f1", "ap"))}
    return rows


def join_scores(*, scores: list[Path], dataset: str, seg: Path, gain: Path) -> None:
    """Stage `evaluate_seg`: join the scores of all networks of a data set, and compare the regimes seed by seed.

    Args:
        scores: Tables of `predict_cellpose`; those of regimes without synthetic images may be the ones of the data set
            that this one is a variant of.
        dataset: Name of the data set.
        seg: CSV to write: all rows.
        gain: CSV to write: gain over regime real with its interval, of all objects and of those of each stratum.
    """
    table = pd.concat([pd.read_csv(path) for path in scores], ignore_index=True).assign(dataset=dataset)
    write_table(seg, table)
    write_table(gain, paired_gain(table))


def _row(recording: Recording, reference: str, items: Sequence[AnnotatedFrame], made: Mapping[int, Segmented]) -> Row:
    traits, confidence = [], []

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame, slices in groupby(items, key=lambda item: item.frame):
            result = made[frame]
            for item in slices:
                image, labels = recording.read(item)
                traits.append(object_traits(image, labels, recording.voxel_size_um[-labels.ndim :]))
                part = result.slice(item.z)
                kept = replace(part, labels=without_ignored(part.labels, recording.read_ignored(item)))
                confidence.append(kept.confidence())
                yield labels, kept.labels

    got = score(pairs())
    row: Row = {"reference": reference, "seg": got.seg, "n_objects": got.n_objects}
    row |= {"precision": got.precision[0.5], "recall": got.recall[0.5], "f1": got.f1[0.5]}
    row |= {f"f1_{round(100 * t)}": got.f1[t] for t in (0.6, 0.7, 0.8, 0.9)}
    row |= {f"ap_{round(100 * t)}": got.ap[t] for t in (0.5, 0.75, 0.9)}
    at = precision_at_recall(got.hits, np.concatenate(confidence), got.n_objects, [each / 100 for each in RECALLS])
    row |= {f"precision_at_{recall}": value for recall, value in zip(RECALLS, at)}
    strata = seg_by_stratum(pd.concat(traits, ignore_index=True), got.jaccards)
    row |= {f"seg_{name}": value for name, value in strata.items()}
    return {**row, "frames": len({item.frame for item in items})}


def without_ignored(result: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """A segmentation without the objects of which more than half lies where nobody annotated.

    Args:
        result: Labels, ([z,] y, x).
        ignored: Where nobody annotated, bool; `None`: all is annotated.
    """
    if ignored is None:
        return result
    sizes = np.bincount(result.ravel())
    hidden = 2 * np.bincount(result[ignored], minlength=len(sizes)) > sizes
    return np.where(hidden[result], 0, result)


def _facts(network: NetworkRecord) -> Row:
    return {name: getattr(network, name) for name in FACTS}


def _no_annotations(recording: Recording) -> InputError:
    folder, sequence = recording.folder, recording.sequence
    return InputError(
        f"The test sequence {sequence} has no annotations",
        where=folder.absolute(),
        found=", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "an empty folder",
        expected=f"{sequence}_GT/SEG or {sequence}_ST/SEG beside {sequence}",
        fix="correct test_sequence, or set it to null: then nothing is evaluated on test frames",
    )
