"""A data set for the Hugging Face hub: an image folder with a table, and a card; written without a network.

Images and masks are 16-bit PNG files, which every reader of the hub opens; stacks are written slice by slice.
"""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Template
from PIL import Image

from cellcascade.config.formats import HubFormat
from cellcascade.data.synthetic import ImageEntry, SyntheticSet
from cellcascade.exports.base import Exported, check_labels, empty_images, held_out
from cellcascade.exports.tiffs import UINT16

COLUMNS = ("file_name", "mask_file_name", "name", "z", "cells")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write(source: SyntheticSet, folder: Path, settings: HubFormat) -> Exported:
    """Write `train/` and `validation/` with `images/`, `masks/` and `metadata.csv`, and the card `README.md`.

    Raises:
        InputError: An image cannot be read, or has more than 65 535 labels.
    """
    held = held_out(source.images, settings.validation)
    parts = ["train", "validation"] if held else ["train"]
    rows = dict.fromkeys(parts, 0)
    with ExitStack() as stack:
        tables = {}
        for part in parts:
            for name in ("images", "masks"):
                (folder / part / name).mkdir(parents=True)
            file = stack.enter_context((folder / part / "metadata.csv").open("w", newline=""))
            tables[part] = csv.writer(file)
            tables[part].writerow(COLUMNS if source.ndim == 3 else [name for name in COLUMNS if name != "z"])
        for image in source.images:
            part = "validation" if image.name in held else "train"
            for row in _write_image(image, folder / part):
                tables[part].writerow(row)
                rows[part] += 1
    (folder / "README.md").write_text(_card(source, settings, rows), encoding="utf-8")
    notes = _notes(settings) + empty_images(source)
    what = f"{', '.join(f'{count} rows to {part}' for part, count in rows.items())}, and the card README.md"
    command = "python -c \"from datasets import load_dataset; print(load_dataset('.'))\""
    return Exported(what, notes, [command, "hf upload OWNER/NAME . . --repo-type dataset"])


def _write_image(image: ImageEntry, place: Path) -> Iterator[list[Any]]:
    """Write an image and its mask, or their slices; gives the rows of the table."""
    counts, labels = image.counts(), image.labels()
    check_labels(image, labels, UINT16, "a 16-bit PNG file")
    for z in range(len(counts) if counts.ndim == 3 else 1):
        plane, cells = (counts, labels) if counts.ndim == 2 else (counts[z], labels[z])
        name = f"{image.name}.png" if counts.ndim == 2 else f"{image.name}_z{z:04d}.png"
        for folder, pixels in (("images", plane), ("masks", cells)):
            Image.fromarray(pixels.astype(np.uint16)).save(place / folder / name, compress_level=1)
        shown = image.cells if counts.ndim == 2 else int(np.count_nonzero(np.unique(cells)))
        where = [] if counts.ndim == 2 else [z]
        yield [f"images/{name}", f"masks/{name}", image.name, *where, shown]


def _card(source: SyntheticSet, settings: HubFormat, rows: dict[str, int]) -> str:
    """The card: licence and provenance, numbers, and how the images were made."""
    template = files("cellcascade.exports").joinpath("templates/card.md.j2").read_text(encoding="utf-8")
    total = sum(rows.values())
    return Template(template, keep_trailing_newline=True, trim_blocks=True).render(
        source=source,
        settings=settings,
        rows=rows,
        size=next((name for limit, name in SIZES if total < limit), "n>1M"),
        shape=" × ".join(map(str, source.images[0].open().image[0].shape)),
        pixel=" × ".join(f"{value:g}" for value in source.voxel_size_um),
    )


def _notes(settings: HubFormat) -> list[str]:
    stated = {"license": settings.license, "source": settings.source}
    unset = [key for key, value in stated.items() if value == HubFormat.model_fields[key].default]
    return [f"the card does not say the {' and the '.join(unset)} of the source frames: set them"] if unset else []
