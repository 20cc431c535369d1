"""The memory that a piece of work needs, for tests that it stays bounded."""

import multiprocessing
import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

# glibc gives large blocks back as soon as they are freed: what is left is what is held.
GIVEN_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}


def extra_mb(work: Callable[..., Any], *args: Any) -> float:
    """The most memory that `work(*args)` has in a new process, beyond what its imports had, MB."""
    with patch.dict(os.environ, GIVEN_BACK), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, args).result()


def _measured(work: Callable[..., Any], args: tuple[Any, ...]) -> float:
    before = _peak_mb()
    work(*args)
    return _peak_mb() - before


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
