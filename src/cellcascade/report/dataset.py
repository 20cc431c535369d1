"""The page of a data set: one HTML file that holds everything, readable offline and on paper."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from cellcascade.metrics.consistency import Kind, consistency_of
from cellcascade.report.cells import CellsPart, cells_part
from cellcascade.report.findings import EvaluationPart, evaluation_part, read_evaluation
from cellcascade.report.images import ImagesPart, images_part, read_image_tables
from cellcascade.report.pages import write_page
from cellcascade.report.pictures import Display
from cellcascade.report.segmentation import SegmentedFrame, segmented_frame
from cellcascade.report.sources import CellFiles, EvaluationFiles, ImageFiles, WorkFiles, open_sources, read_table
from cellcascade.report.summary import SummaryPart, summary_part
from cellcascade.report.work import WorkPart, work_part


@dataclass(frozen=True)
class DatasetPage:
    """Content of the page of a data set: its name, what the check of the data found, the parts, settings as YAML."""

    dataset: str
    checked: list[dict]
    summary: SummaryPart
    evaluation: EvaluationPart
    segmented_frame: SegmentedFrame | None
    cells: CellsPart
    images: ImagesPart
    work: WorkPart
    settings: str


def write_report(
    *,
    dataset: str,
    settings: dict[str, Any],
    rho: float | Literal["from_data"],
    correlation: Kind,
    cells: CellFiles,
    images: ImageFiles,
    evaluation: EvaluationFiles,
    work: WorkFiles,
    html: Path,
) -> None:
    """Stage `report`: the page of one data set as a single HTML file that loads nothing from elsewhere.

    Args:
        dataset: Name of the data set.
        settings: Its settings, shown as they are.
        rho: How strongly neighbouring slices were made to agree; part of the settings.
        correlation: What they share; part of the settings.
        cells: Files of single cells.
        images: Files of whole images.
        evaluation: Files of the evaluation.
        work: Files on the work that it took.
        html: The page to write.

    Raises:
        InputError: A file that the page needs is missing, damaged or empty.
    """
    sources, tables = open_sources(cells), read_evaluation(evaluation.tables)
    display = Display.fitting(sources.crops.record.window, sources.crops["brightness"][sources.widest])
    measured = pd.DataFrame() if sources.likeness is None else sources.likeness
    made = consistency_of(measured, rho, correlation)
    page = DatasetPage(
        dataset=dataset,
        checked=checked_part(images.checked),
        summary=summary_part(sources, read_image_tables(images.synthetic), tables.get("shape")),
        evaluation=evaluation_part(tables),
        segmented_frame=segmented_frame(evaluation, display),
        cells=cells_part(sources, display, made),
        images=images_part(images, display),
        work=work_part(work),
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
    )
    write_page("dataset.html.j2", page, html)


def checked_part(table: Path | None) -> list[dict]:
    """What the check of the data found, but for notes: rows with `title`, `found` and `cure`."""
    if table is None:
        return []
    found = read_table(table, ("level", "title", "found", "cure"))
    return found[found["level"] != "note"].to_dict("records")
