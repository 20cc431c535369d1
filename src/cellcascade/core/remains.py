"""What a killed run leaves in its folder: files it was making, checkpoints of trainings, temporary files."""

import os
import pickle
import re
import time
import zipfile
from base64 import urlsafe_b64decode
from binascii import Error as NoBase64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKS = ".snakemake/incomplete"
SCRATCH = re.compile(r"\..+\.[a-z0-9_]{8}")  # folders of core.files.atomic_path
WRITTEN = ("results", "checkpoints", "resources")
NAME = re.compile(r"(?P<name>.+)-[0-9a-f]{12}")  # of a checkpoint's folder, before its fingerprint
JUDGES = re.compile(r"hardness(-\d+)?")  # the networks that judge each other's cells, for one table


@dataclass(frozen=True)
class Checkpoint:
    """The running state of a training.

    Attributes:
        path: Its file.
        step: Steps done; `None` if the file cannot be read.
        seconds: Age of the file.
    """

    path: Path
    step: int | None
    seconds: float


def unfinished(folder: Path) -> list[Path]:
    """Files that Snakemake had begun to make and does not know to be finished, by their names.

    Snakemake lists them only for a target and only where they exist, so its marks are read: their names, in base64, are
    those of the files.
    """
    found = []
    for mark in sorted(path for path in (folder / MARKS).rglob("*") if path.is_file()):
        code = "".join(part.removeprefix("@") for part in mark.relative_to(folder / MARKS).parts)
        try:
            found.append(Path(urlsafe_b64decode(code).decode()))
        except (NoBase64, UnicodeDecodeError):
            continue  # Snakemake's own note that it moves to another layout
    return sorted(found)


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The latest checkpoint of each training that has not ended."""
    latest: dict[Path, Path] = {}
    for path in sorted((folder / "checkpoints").glob("*/*/state.pt"), key=lambda path: path.stat().st_mtime):
        if match := NAME.fullmatch(path.parent.name):
            latest[result_of(path.parents[1].name, match["name"])] = path
    marked = unfinished(folder)
    begun = {*marked, *(path.with_name("config.json") for path in marked)}  # weights and their record are made together
    going = [path for made, path in latest.items() if made in begun or not (folder / made).exists()]
    return [Checkpoint(path, step_of(path), time.time() - path.stat().st_mtime) for path in sorted(going)]


def result_of(dataset: str, name: str) -> Path:
    """What is there when a training has ended, whose checkpoints lie in `checkpoints/DATASET/NAME-…`."""
    if JUDGES.fullmatch(name):
        return Path("results", dataset, "hardness.csv")
    network = name.removeprefix("cellpose-")
    below = f"evaluation/cellpose/{network}" if network != name else f"models/{name}"
    return Path("results", dataset, below, "config.json")


class _WithoutTensors(pickle.Unpickler):
    """Reads a file of torch without torch: of tensors nothing is kept, and nothing of the file is run."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Stand in for everything that is no plain value."""
        return _Nothing

    def persistent_load(self, pid: Any) -> None:
        """Leave out the numbers of tensors, which are other members of the file."""


class _Nothing(dict):
    """Takes what it is made from, and keeps nothing."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Forget the state as well."""


def step_of(path: Path) -> int | None:
    """Steps that a checkpoint has done, by the last row of its log; `None` if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(member) as file:
                return int(_WithoutTensors(file).load()["rows"][-1]["step"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile, pickle.UnpicklingError):
        return None


def temporary(folder: Path) -> list[Path]:
    """Files and folders that only running jobs need: of outputs that were being written, and of Snakemake's jobs."""
    found = [*(folder / ".snakemake/scripts").glob("*"), *(folder / ".snakemake").glob("tmp.*")]
    for name in WRITTEN:
        for place, folders, _ in os.walk(folder / name):
            found += [Path(place, name) for name in folders if SCRATCH.fullmatch(name)]
            # Images are folders of many files, which are complete or absent: there is nothing to look for in them.
            folders[:] = [name for name in folders if not SCRATCH.fullmatch(name) and not name.endswith(".zarr")]
    return sorted(found)
