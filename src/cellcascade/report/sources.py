"""What the page of a data set reads: its files by part of the page, single cells across shards, tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from cellcascade.data.shards import R, Schema, Store
from cellcascade.data.stores import CROPS, MASKS, SLICES, TEXTURES, VIEWS, VOLUMES, CropsRecord


@dataclass(frozen=True)
class CellFiles:
    """Files of single cells, real and synthetic.

    Attributes:
        crops: Store of the real crops.
        crops_table: `crops.csv`.
        masks: Shards of masks.
        views: Shards of predicted views; none in 2D.
        volumes: Shards of volumes; none in 2D.
        slices: Shards of slices; none in 2D.
        textures: Shards of textured cells.
        shapes: `shape_cells.csv`: the shapes of all cells.
        intensities: `texture_cells.csv`: the intensities of all cells.
        rho_table: `rho.csv` of the texture model: how alike neighbouring slices are; `None` leaves it out.
    """

    crops: Path
    crops_table: Path
    masks: list[Path]
    views: list[Path]
    volumes: list[Path]
    slices: list[Path]
    textures: list[Path]
    shapes: Path
    intensities: Path
    rho_table: Path | None = None


@dataclass(frozen=True)
class ImageFiles:
    """Files of whole images.

    Attributes:
        synthetic: Folder of the synthetic images, with `manifest.csv` and `cells.csv`.
        recording: The annotated frames; the first one is shown. `None` leaves it out.
        checked: Table of what the check of the frames found; `None` leaves it out.
    """

    synthetic: Path
    recording: Recording | None = None
    checked: Path | None = None


@dataclass(frozen=True)
class EvaluationFiles:
    """Files of the evaluation.

    Attributes:
        tables: CSV files by the names of `findings.COLUMNS`; what is not named was not measured.
        predictions: Stores `PREDICTIONS` of the regimes to show on a test frame, one seed of each.
        test_recording: The test sequence; needed for `predictions`.
    """

    tables: dict[str, Path] = field(default_factory=dict)
    predictions: list[Path] = field(default_factory=list)
    test_recording: Recording | None = None


@dataclass(frozen=True)
class WorkFiles:
    """Files on the work that it took.

    Attributes:
        training: Training logs (CSV with step, loss, seconds) by the name of their model.
        benchmarks: Folder of Snakemake's benchmark files; may be missing.
    """

    training: dict[str, Path] = field(default_factory=dict)
    benchmarks: Path | None = None


@dataclass(frozen=True)
class CellEntry:
    """Where one synthetic cell stands in the shards of a stage.

    Attributes:
        store: Its shard.
        row: Its row there.
        valid: Whether the stage made it.
    """

    store: Store = field(repr=False)
    row: int
    valid: bool

    def read(self, name: str) -> np.ndarray:
        """This cell's row of an array; its shard is not held open."""
        row = self.store.read(name, self.row)
        self.store.close()
        return row


@dataclass(frozen=True)
class CellSources:
    """The single cells of a data set, opened; their arrays are read when they are asked for.

    Attributes:
        crops: Store of the real crops.
        widest: Its rows (m) with the widest slice of each real cell.
        objects: `crops.csv`: a row for each annotated object.
        stages: By stage, in the order of the cascade, its synthetic cells by their numbers; none where the data set
            does without the stage.
        shapes: `shape_cells.csv`: a row for each real and each valid synthetic mask.
        intensities: `texture_cells.csv`: a row for each real and each valid synthetic cell.
        likeness: `rho.csv`: how alike neighbouring slices are at several rho; `None` where it is left out.
    """

    crops: Store[CropsRecord]
    widest: np.ndarray
    objects: pd.DataFrame
    stages: Mapping[str, Mapping[int, CellEntry]]
    shapes: pd.DataFrame
    intensities: pd.DataFrame
    likeness: pd.DataFrame | None = None

    @cached_property
    def shown(self) -> list[int]:
        """Numbers of the cells that can be shown with mask and texture."""
        masks = self.stages["masks"]
        return [number for number, entry in self.stages["textures"].items() if entry.valid and number in masks]

    def valid(self, stage: str) -> dict[int, CellEntry]:
        """The cells that a stage made."""
        return {number: entry for number, entry in self.stages[stage].items() if entry.valid}

    def stores(self, stage: str) -> list[Store]:
        """The shards of a stage."""
        return list({entry.store.path: entry.store for entry in self.stages[stage].values()}.values())

    @property
    def pixel_um(self) -> float:
        """Size of a pixel along y and x, micrometres."""
        return self.crops.record.voxel_size_um[-1]


def open_sources(files: CellFiles) -> CellSources:
    """Open the single cells of a data set.

    Raises:
        InputError: A file is missing or damaged, or there is nothing to show.
    """
    crops = CROPS.open(files.crops)
    widest = np.flatnonzero(crops["widest"])
    stages = {
        "masks": open_cells(files.masks, MASKS),
        "views": open_cells(files.views, VIEWS),
        "volumes": open_cells(files.volumes, VOLUMES),
        "slices": open_cells(files.slices, SLICES),
        "textures": open_cells(files.textures, TEXTURES),
    }
    objects = read_table(files.crops_table, ("kept", "reason"))
    likeness = (
        read_table(files.rho_table, ("correlation", "rho", "synthetic", "real", "pairs")) if files.rho_table else None
    )
    shapes = read_table(files.shapes, ("side", "area", "eccentricity", "solidity"))
    intensities = read_table(files.intensities, ("side", "intensity_mean"))
    sources = CellSources(crops, widest, objects, stages, shapes, intensities, likeness)
    if not sources.shown or not len(widest):
        raise InputError(
            "There is nothing to report",
            where=files.crops if sources.shown else ", ".join(map(str, files.textures)),
            found=f"{len(widest)} real cells, {len(sources.shown)} valid synthetic cells",
            expected="at least one of each",
            fix="look at the reasons in crops.csv and in the shards' records; make more cells",
        )
    return sources


def open_cells(paths: Sequence[Path], schema: Schema[R]) -> dict[int, CellEntry]:
    """Open the shards of a stage and index their cells by number, in order."""
    cells = {}
    for path in paths:
        store = schema.open(path)
        for row, (number, valid) in enumerate(zip(store["cell_id"].tolist(), store["valid"].tolist(), strict=True)):
            cells[number] = CellEntry(store, row, bool(valid))
        store.close()
    return dict(sorted(cells.items()))


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV that must have certain columns.

    Raises:
        InputError: The file is missing, is no table, or lacks a column.
    """
    fix = f"delete {path} and rerun snakemake: it remakes what is missing"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(
            "A table cannot be read", where=path, found=repr(error), expected="a CSV file", fix=fix
        ) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            "A table lacks columns",
            where=path,
            found=", ".join(map(str, table.columns)),
            expected=", ".join(missing),
            fix=fix,
        )
    return table
