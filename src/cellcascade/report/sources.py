"""What the report reads: shards cell by cell, synthetic images, tables; broken files named as such."""

import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import read_image
from cellcascade.data.shards import open_shard

UNREADABLE = (KeyError, ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile)
STAGES = (
    "crops",
    "background",
    "models/mask_ddpm",
    "masks",
    "views",
    "volumes",
    "slices",
    "models/texture",
    "textures",
    "population",
    "synthetic",
    "evaluation/test_crops",
    "evaluation/cellpose/train",
    "evaluation/cellpose/predict",
    "evaluation/seg",
    "evaluation/fid",
    "evaluation/shape",
    "evaluation/texture",
    "evaluation/population",
    "evaluation/memorisation",
)
PARTS = re.compile(r"shard-\d+|(none|real|synthetic|both)-\d+")  # files of one stage: its shards, or its trainings


@dataclass(frozen=True)
class Store:
    """An opened shard that knows its path, so that a damaged array is reported by name."""

    path: Path
    schema: str
    group: zarr.Group = field(repr=False)

    @classmethod
    def open(cls, path: str | Path, schema: str) -> "Store":
        """Open a shard; see `cellcascade.data.shards.open_shard` for the errors."""
        return cls(Path(path), schema, open_shard(path, schema))

    def read(self, name: str, row: int | None = None) -> np.ndarray:
        """Read an array, or one row of it.

        Raises:
            InputError: The array is missing or its bytes are damaged.
        """
        try:
            array = self.group[name]
            return np.asarray(array[:] if row is None else array[row])
        except UNREADABLE as error:
            raise InputError(
                "A shard is damaged",
                where=self.path,
                found=repr(error),
                expected=f"a readable array {name!r} in a store {self.schema!r}",
                fix=f"delete {self.path} and rerun snakemake: it remakes this file alone",
            ) from error

    @property
    def attributes(self) -> dict:
        """The store's attributes."""
        return dict(self.group.attrs)


@dataclass(frozen=True)
class Cell:
    """One synthetic cell in a shard."""

    store: Store = field(repr=False)
    row: int
    cell_id: int
    valid: bool

    def read(self, name: str) -> np.ndarray:
        """Read this cell's row of an array."""
        return self.store.read(name, self.row)


def open_cells(paths: Sequence[str | Path], schema: str) -> dict[int, Cell]:
    """Open shards of a stage and index their cells by id, in order."""
    cells = {}
    for path in paths:
        store = Store.open(path, schema)
        ids = store.read("cell_id")
        valid = store.read("valid") if "valid" in store.group else np.ones(len(ids), np.uint8)
        for row, (cell_id, good) in enumerate(zip(ids.tolist(), valid.tolist(), strict=True)):
            cells[cell_id] = Cell(store, row, cell_id, bool(good))
    return dict(sorted(cells.items()))


def stores_of(cells: dict[int, Cell]) -> list[Store]:
    """The different stores that hold these cells."""
    return list({cell.store.path: cell.store for cell in cells.values()}.values())


def group_reasons(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Count reasons that differ in their numbers alone as one, with … for the numbers; most frequent first."""
    groups: dict[str, Counter] = {}
    for text in reasons:
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "…", text), Counter())[text] += 1
    named = [(next(iter(texts)) if len(texts) == 1 else name, texts.total()) for name, texts in groups.items()]
    return sorted(named, key=lambda item: -item[1])


def read_table(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
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


@dataclass(frozen=True)
class SyntheticImage:
    """One exported image: counts and labels `((z,) y, x)` and the size of a voxel."""

    name: str
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    voxel_size_um: tuple[float, ...]


def read_synthetic_image(folder: str | Path, index: int = 0) -> SyntheticImage:
    """Read the full resolution of one OME-Zarr image and its labels.

    Args:
        folder: `results/<data set>/synthetic`.
        index: Which of the images, in the order of their names.

    Raises:
        InputError: There is no such image, or it cannot be read.
    """
    paths = sorted(Path(folder).glob("img-*.ome.zarr"))
    fix = f"delete {folder} and rerun snakemake: it remakes the images from their shards"
    if not paths:
        raise InputError(
            "There are no synthetic images", where=folder, found="nothing", expected="img-00000.ome.zarr, …", fix=fix
        )
    path = paths[index]
    try:
        opened = read_image(path)
        pixels, cells = opened.image[0].compute(), opened.labels[0].compute()
    except (*UNREADABLE, IndexError, TypeError, zarr.errors.GroupNotFoundError) as error:
        raise InputError(
            "A synthetic image cannot be read",
            where=path,
            found=repr(error),
            expected="an OME-Zarr image with labels/cells",
            fix=fix,
        ) from error
    return SyntheticImage(path.name, pixels, cells, opened.voxel_size_um)


def read_real_frame(path: str | Path | None) -> np.ndarray | None:
    """Read a real frame `((z,) y, x)`, or `None` where none is at hand.

    Raises:
        InputError: The file is there but is no greyscale TIFF of two or three axes.
    """
    if path is None or not Path(path).is_file():
        return None
    try:
        frame = tifffile.imread(path)
    except (*UNREADABLE, tifffile.TiffFileError) as error:
        frame, found = None, repr(error)
    else:
        found = f"shape {frame.shape}"
    if frame is None or frame.ndim not in (2, 3):
        raise InputError(
            "A real frame cannot be shown",
            where=path,
            found=found,
            expected="a greyscale TIFF with axes (z,) y, x",
            fix="replace the file by a sound copy",
        )
    return frame


def read_benchmarks(folder: str | Path | None) -> tuple[pd.DataFrame, list[str]]:
    """Sum the Snakemake benchmark files of a data set by stage.

    Args:
        folder: Folder with `*.tsv` files (columns `s`, `max_rss`); shards or trainings of one stage lie in one folder.

    Returns:
        One row a stage, in the order of the cascade: `stage`, `jobs`, `seconds` (sum), `longest`
        (seconds of the longest job), `max_rss_mb` (NaN if not measured); and the files that could not be read.
    """
    rows, unread = [], []
    folder = Path(folder) if folder else None
    for path in sorted(folder.rglob("*.tsv")) if folder and folder.is_dir() else []:
        relative = path.relative_to(folder).with_suffix("")
        stage = (relative.parent if PARTS.fullmatch(relative.name) else relative).as_posix()
        try:
            table = pd.read_csv(path, sep="\t", na_values=["-"])
            seconds, memory = table["s"].mean(), pd.to_numeric(table.get("max_rss", pd.Series(dtype=float))).max()
        except (KeyError, ValueError, OSError):
            unread.append(relative.as_posix())
            continue
        rows.append({"stage": stage, "seconds": seconds, "max_rss_mb": memory})
    if not rows:
        return pd.DataFrame(columns=["stage", "jobs", "seconds", "longest", "max_rss_mb"]), unread
    grouped = pd.DataFrame(rows).groupby("stage", sort=True)
    table = grouped.agg(
        jobs=("seconds", "size"),
        seconds=("seconds", "sum"),
        longest=("seconds", "max"),
        max_rss_mb=("max_rss_mb", "max"),
    ).reset_index()
    order = table["stage"].map(lambda name: STAGES.index(name) if name in STAGES else len(STAGES))
    return table.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True), unread
