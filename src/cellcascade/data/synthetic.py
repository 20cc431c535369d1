"""A folder of synthetic images, `results/DATASET/synthetic/`, opened lazily: pixels are read image by image."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from pydantic import BaseModel, ConfigDict, ValidationError

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import AnnotatedImage, read_image
from cellcascade.data.shards import UNREADABLE

TABLES = ("manifest.csv", "cells.csv")
RECORD = "dataset.json"
CLEAN = "clean"  # folder of the twins: the same images without noise
EXPECTED = f"a finished folder such as results/DATASET/synthetic: {RECORD}, {', '.join(TABLES)}, img-00000.ome.zarr, …"
FIX = "give such a folder; if it is one, delete it and run snakemake again: the images are made from their shards"


class SetRecord(BaseModel):
    """What `dataset.json` says of a set of images.

    Attributes:
        dataset: Name of the data set.
        seed: Seed of the run.
        images: Number of images.
        cells: Number of labelled cells.
        config: The settings that it was made with.
        versions: Versions of the packages that made it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    dataset: str
    seed: int
    images: int
    cells: int
    config: Mapping[str, Any] = {}
    versions: Mapping[str, str] = {}


@dataclass(frozen=True)
class ImageEntry:
    """An image of a set, read when it is asked for.

    Attributes:
        name: Its name, e.g. `img-00000`.
        path: Its OME-Zarr.
        cells: Number of labelled cells.
    """

    name: str
    path: Path
    cells: int

    @property
    def twin(self) -> "ImageEntry | None":
        """The same image without noise, of float32 counts; `None` where there is none."""
        path = self.path.parent / CLEAN / self.path.name
        return replace(self, path=path) if path.is_dir() else None

    def open(self) -> AnnotatedImage:
        """Open it without reading pixels.

        Raises:
            InputError: It cannot be read.
        """
        try:
            opened = read_image(self.path)
            if opened.image[0].shape != opened.labels[0].shape:
                raise ValueError(f"an image {opened.image[0].shape} with labels {opened.labels[0].shape}")
            return opened
        except (*UNREADABLE, TypeError, IndexError, zarr.errors.GroupNotFoundError) as error:
            raise self._unreadable(error) from error

    def counts(self) -> np.ndarray:
        """Its counts, ([z,] y, x).

        Raises:
            InputError: It cannot be read.
        """
        return self._read(self.open().image[0])

    def labels(self) -> np.ndarray:
        """Its labels, ([z,] y, x); 0 is background.

        Raises:
            InputError: It cannot be read.
        """
        return self._read(self.open().labels[0])

    def _read(self, level: Any) -> np.ndarray:
        try:
            return level.compute(scheduler="synchronous")
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            "A synthetic image cannot be read",
            where=self.path,
            found=f"{type(error).__name__}: {error}",
            expected="an OME-Zarr image with labels/cells",
            fix=FIX,
        )


@dataclass(frozen=True)
class SyntheticSet:
    """A folder of synthetic images.

    Attributes:
        folder: The folder.
        record: What its `dataset.json` says.
        images: Its images, in the order of their names.
        voxel_size_um: Size of a pixel, ([z,] y, x), micrometres.
    """

    folder: Path
    record: SetRecord
    images: tuple[ImageEntry, ...]
    voxel_size_um: tuple[float, ...]

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.voxel_size_um)

    @property
    def anisotropy(self) -> float:
        """Distance of slices over the size of a pixel; 1 in 2D."""
        return self.voxel_size_um[0] / self.voxel_size_um[-1]

    @property
    def has_twins(self) -> bool:
        """Whether every image has a twin without noise."""
        return (self.folder / CLEAN).is_dir()

    @property
    def without_cells(self) -> list[str]:
        """Names of the images that show no cell."""
        return [image.name for image in self.images if not image.cells]


def image_paths(folder: Path) -> list[Path]:
    """The images of a folder of composed ones, in the order of their names, whether or not it has tables.

    Raises:
        InputError: There is none.
    """
    paths = sorted(folder.glob("img-*.ome.zarr"))
    if not paths:
        raise InputError(
            "There are no composed images",
            where=folder,
            found="no img-*.ome.zarr" if folder.is_dir() else "no such folder",
            expected="img-00000.ome.zarr, …",
            fix=f"delete {folder} and rerun snakemake, with images above 0: it remakes them from their shards",
        )
    return paths


def is_synthetic(folder: str | Path) -> bool:
    """Whether this is a folder of synthetic images, finished or damaged; anything may be asked, nothing raises."""
    if not all(os.path.isfile(Path(folder) / name) for name in (RECORD, *TABLES)):
        return False
    try:
        _read_record(Path(folder) / RECORD)
    except InputError:
        return False
    return True


def open_synthetic(folder: str | Path) -> SyntheticSet:
    """Open a folder of synthetic images; reads its tables and the header of its first image.

    Args:
        folder: `results/DATASET/synthetic`, or a copy of it.

    Raises:
        InputError: It is no such folder, or an unfinished or damaged one, or no image shows a cell.
    """
    folder = Path(folder)
    missing = [name for name in (RECORD, *TABLES) if not (folder / name).is_file()]
    if missing:
        found = f"no {', no '.join(missing)}" if folder.is_dir() else "no such folder"
        raise _refused("This is no finished folder of synthetic images", folder, found)
    record, images = _read_record(folder / RECORD), _read_manifest(folder)
    lost = [image.name for image in images if not image.path.is_dir()]
    if (folder / CLEAN).is_dir():
        lost += [f"{CLEAN}/{image.name}" for image in images if image.twin is None]
    if lost or len(images) != record.images:
        found = f"{len(images)} in manifest.csv, {record.images} in {RECORD}, folders missing of: {_some(lost)}"
        raise _refused("Synthetic images are missing", folder, found)
    if not any(image.cells for image in images):
        raise InputError(
            "No synthetic image shows a cell",
            where=folder,
            found=f"{len(images)} images without cells",
            expected="at least one image with labelled cells",
            fix="raise population.cells_per_image, or look at the report for why cells found no place",
        )
    return SyntheticSet(folder, record, images, images[0].open().voxel_size_um)


def _read_record(path: Path) -> SetRecord:
    try:
        return SetRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _refused(
            "The record of the synthetic images cannot be read", path, " ".join(str(error).split())
        ) from error


def _read_manifest(folder: Path) -> tuple[ImageEntry, ...]:
    path = folder / TABLES[0]
    try:
        table = pd.read_csv(path, dtype={"image": str, "path": str})
        rows = zip(table["image"], table["path"], table["cells"].astype(int), strict=True)
        return tuple(ImageEntry(name, folder / place, cells) for name, place, cells in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refused("The table of the synthetic images cannot be read", path, repr(error)) from error


def _refused(what: str, where: Path, found: str) -> InputError:
    return InputError(what, where=where, found=found, expected=EXPECTED, fix=FIX)


def _some(names: list[str]) -> str:
    """A few of many names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"
