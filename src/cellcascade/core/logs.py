"""Logging of jobs: a progress bar in a terminal, lines every 10 % in a log file; what a job ran with."""

import importlib.metadata
import logging
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
PACKAGES = (
    *("numpy", "scipy", "scikit-image", "torch", "diffusers", "cellpose", "pyshtools"),
    *("zarr", "ome-zarr", "snakemake"),
)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, those that are installed."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def start_log(path: str | Path | None = None) -> logging.Logger:
    """Send the package's messages to the terminal and, if given, to a job's log file.

    Args:
        path: Log file of the job; its folder is made. `None` logs to the terminal alone.
    """
    logger = logging.getLogger("cellcascade")
    logger.setLevel(logging.INFO)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="a"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    return logger


def progress(items: Iterable[Item], *, total: int, what: str, start: int = 0) -> Iterator[Item]:
    """Yield `items` with a bar (rate, time left) in a terminal, or a line every 10 % elsewhere.

    Args:
        items: What is worked through.
        total: Number of items of the whole job, those done earlier counted in.
        what: Short name of the work, with its unit.
        start: Items that were done before, by an interrupted run.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, initial=start, desc=what, dynamic_ncols=True)
        return
    logger, began, last = logging.getLogger("cellcascade"), time.monotonic(), start * 10 // max(total, 1)
    for done, item in enumerate(items, start + 1):
        yield item
        if done * 10 // total > last or done == total:
            last = done * 10 // total
            rate = (done - start) / max(time.monotonic() - began, 1e-9)
            logger.info("%s %d/%d (%.2f/s, %.0f s left)", what, done, total, rate, (total - done) / rate)
