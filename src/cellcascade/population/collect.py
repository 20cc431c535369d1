"""The product: all images of a data set in one folder, with their tables and a record of how they were made."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cellcascade import __version__
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, digest
from cellcascade.core.logs import package_versions
from cellcascade.data.ngff import read_facts
from cellcascade.data.synthetic import CLEAN


def collect_images(*, population: list[Path], sources: list[Path], record: dict[str, Any], folder: Path) -> None:
    """Stage `synthetic`: gather the images of all shards in one folder, which is complete, or absent.

    Images are hard links to the shards' files (copies where the file system has no links), so that nothing is lost when
    the shards are deleted; so are their twins without noise, in `clean/`, where there are any. Beside these:
    `manifest.csv` (a row per image), `cells.csv` (a row per cell), `dataset.json`.

    Args:
        population: Folders that `compose.make_images` made.
        sources: Files that the images were made from, for their digests.
        record: What `dataset.json` says beside versions and digests: data set, seed, config.
        folder: The new folder; one that is there is replaced.

    Raises:
        InputError: Images are missing or double, or an image's labels and `cells.csv` disagree.
    """
    images = _table(population, "images.csv").sort_values("image", ignore_index=True)
    cells = _table(population, "cells.csv").sort_values(["image", "label"], ignore_index=True)
    stores = _stores(population)
    twins = _stores([shard / CLEAN for shard in population])
    _check(images, cells, stores, population)
    if twins and list(twins) != list(stores):
        where = ", ".join(str(shard) for shard in population)
        raise _broken("Images lack their twins", where, f"{len(twins)} of {len(stores)} in {CLEAN}/", "all or none")
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        for place, found in ((scratch, stores), (scratch / CLEAN, twins)):
            for store in found.values():
                shutil.copytree(store, place / store.name, copy_function=_link)
        images.insert(1, "path", [f"{name}.ome.zarr" for name in images["image"]])
        images.to_csv(scratch / "manifest.csv", index=False)
        cells.to_csv(scratch / "cells.csv", index=False)
        whole = {**record, "images": len(images), "cells": len(cells), **_provenance(sources)}
        (scratch / "dataset.json").write_text(json.dumps(whole, indent=2) + "\n")


def _table(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """A table of all shards."""
    # An image without cells, or a shard with none, must not turn the other shards' integers into floats.
    tables = [pd.read_csv(folder / name, dtype={"image": str}) for folder in folders]
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _stores(folders: Sequence[Path]) -> dict[str, Path]:
    """The images in some folders by their names, in the order of these."""
    paths = (path for folder in folders for path in folder.glob("img-*.ome.zarr"))
    return dict(sorted((path.name.removesuffix(".ome.zarr"), path) for path in paths))


def _check(images: pd.DataFrame, cells: pd.DataFrame, stores: Mapping[str, Path], folders: Sequence[Path]) -> None:
    """Every image is in the table once and has its store, and its labels are those of `cells.csv`."""
    where = ", ".join(str(folder) for folder in folders)
    names = [f"img-{index:05d}" for index in range(len(images))]
    if list(images["image"]) != names or list(stores) != names:
        raise _broken(
            "The images are not complete",
            where,
            f"{images['image'].nunique()} of {len(images)} in images.csv, {len(stores)} stores",
            f"img-00000 to img-{len(images) - 1:05d}, each once",
        )
    rows = {image: list(table["label"]) for image, table in cells.groupby("image")}
    strays = sorted(set(rows) - set(names))
    for name, store in stores.items():
        labels = sorted(cell["label"] for cell in read_facts(store)["cells"])
        if labels != rows.get(name, []):
            strays.append(name)
    if strays:
        raise _broken("Labels and cells.csv disagree", where, ", ".join(strays), "a row of cells.csv for every label")


def _broken(what: str, where: str, found: str, expected: str) -> InputError:
    fix = "delete the population shards named above and rerun: they are made again"
    return InputError(what, where=where, found=found, expected=expected, fix=fix)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _provenance(sources: Sequence[Path]) -> dict[str, Any]:
    versions = {"cellcascade": __version__, **package_versions()}
    return {"versions": versions, "digests": {str(path): digest(path) for path in sources}}
