"""The part of a data set's page that sums up: numbers at its top, and what was dropped at which stage and why."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellcascade.data.shards import Store
from cellcascade.report.images import ImageTables
from cellcascade.report.sources import CellSources


@dataclass(frozen=True)
class Dropped:
    """What one stage made and lost.

    Attributes:
        stage: Name of the stage.
        cells: Cells that it was given.
        valid: Cells that it made.
        new: Cells that first became invalid here.
        why: Reasons of these, with their numbers of cells.
        redraws: Flawed masks, or textures, that were drawn again.
    """

    stage: str
    cells: int
    valid: int
    new: int
    why: list[tuple[str, int]]
    redraws: int


@dataclass(frozen=True)
class SummaryPart:
    """What the page says of the data set as a whole.

    Attributes:
        sequence: The sequence that was learned from.
        frame: Size of a real frame, pixels.
        axes: Its axes.
        pixel: Size of a pixel, micrometres.
        numbers: Numbers for the top of the page, each with what it counts.
        objects: Annotated objects by outcome: kept, or why not; their number and share.
        cells: Synthetic cells by stage.
        not_placed: How many cells found no room in an image, in words.
    """

    sequence: str
    frame: str
    axes: str
    pixel: str
    numbers: list[tuple[str, str]]
    objects: list[tuple[str, int, float]]
    cells: list[Dropped]
    not_placed: str


def summary_part(sources: CellSources, images: ImageTables, shapes: pd.DataFrame | None) -> SummaryPart:
    """Sum up a data set.

    Args:
        sources: Its single cells.
        images: Tables of its synthetic images.
        shapes: `shape.csv`; `None` where shapes were not measured.
    """
    record = sources.crops.record
    return SummaryPart(
        sequence=record.sequence,
        frame=" × ".join(map(str, record.frame_shape)),
        axes="z, y, x" if record.ndim == 3 else "y, x",
        pixel=" × ".join(f"{size:.4g}" for size in record.voxel_size_um),
        numbers=headline(sources, images, shapes),
        objects=dropped_objects(sources.objects),
        cells=dropped_cells(sources),
        not_placed=not_placed(images),
    )


def headline(sources: CellSources, images: ImageTables, shapes: pd.DataFrame | None) -> list[tuple[str, str]]:
    """Numbers for the top of the page, each with what it counts."""
    real, placed, made = sources.crops.record.cells_per_frame, len(images.cells), len(images.manifest)
    beside = f"; real {np.mean(real):.1f}" if real else ""
    textures = sources.stages["textures"]
    numbers = [
        (f"{made:,}", "synthetic images"),
        (f"{placed:,}", f"labelled cells in them ({placed / max(made, 1):.1f} per image{beside})"),
        (f"{len(sources.valid('textures')):,} of {len(textures):,}", "synthetic cells valid after all stages"),
        (f"{_kept(sources.objects).sum():,} of {len(sources.objects):,}", "annotated real objects learned from"),
    ]
    if shapes is not None and shapes["w1_over_std"].notna().any():
        worst = shapes.loc[shapes["w1_over_std"].idxmax()]
        which = worst.property.replace("_", " ")
        numbers.append((f"{worst.w1_over_std:.2f}", f"largest shape distance, W₁/σ ({which})"))
    ious = [_section_ious(store) for store in sources.stores("slices")]
    if sum(map(len, ious)):
        median = np.median(np.concatenate(ious))
        numbers.append((f"{median:.2f}", "median IoU of the widest slice with its source mask"))
    return numbers


def _section_ious(store: Store) -> np.ndarray:
    """IoU of the widest slice with the source mask, of the valid cells of a shard; it is not held open."""
    ious = store["section_iou"][store["valid"] > 0]
    store.close()
    return ious


def dropped_objects(objects: pd.DataFrame) -> list[tuple[str, int, float]]:
    """Annotated objects by outcome: kept, or the reason why they were left out; their number and share."""
    kept, reasons = _kept(objects), objects["reason"].fillna("").astype(str)
    counted = [("kept", int(kept.sum())), *group_reasons(reasons[~kept])]
    return [(reason or "no reason recorded", count, count / max(len(objects), 1)) for reason, count in counted]


def dropped_cells(sources: CellSources) -> list[Dropped]:
    """What each stage made and lost; a lost cell counts at the stage where it first became invalid."""
    found: list[Dropped] = []
    lost: set[int] = set()
    for stage, cells in sources.stages.items():
        if not cells:
            continue
        records = [store.record for store in sources.stores(stage)]
        reasons = {number: reason for record in records for number, reason in record.reasons.items()}
        new = [number for number, entry in cells.items() if not entry.valid and number not in lost]
        lost.update(new)
        why = group_reasons(reasons.get(number) or "no reason recorded" for number in new)
        redraws = sum(record.redraws for record in records) if stage in ("masks", "textures") else 0
        found.append(Dropped(stage, len(cells), len(sources.valid(stage)), len(new), why, redraws))
    return found


def group_reasons(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Count reasons that differ in their numbers alone as one, with … for the numbers; most frequent first."""
    groups: dict[str, Counter] = {}
    for text in reasons:
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "…", text), Counter())[text] += 1
    named = [(next(iter(texts)) if len(texts) == 1 else name, texts.total()) for name, texts in groups.items()]
    return sorted(named, key=lambda item: -item[1])


def not_placed(images: ImageTables) -> str:
    """How many of the cells drawn for the images found no room, as a sentence."""
    missing = images.manifest["not_placed"]
    return (
        f"{missing.sum()} of {missing.sum() + len(images.cells)} cells drawn for the images found no room "
        f"({(missing > 0).sum()} of {len(missing)} images)."
    )


def _kept(objects: pd.DataFrame) -> pd.Series:
    return objects["kept"].astype(bool)
