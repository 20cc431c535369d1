"""Cellpose's modules, with what they compile kept on disk.

Cellpose 3 compiles functions with Numba whenever it is imported, which takes longer than all else that a job imports.
Numba keeps them if it is asked to: beside Cellpose or, where that cannot be written, in the user's cache. Training and
prediction take Cellpose from here, so that it is imported here first.
"""

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

__all__ = ["dynamics", "models"]


@contextmanager
def _kept() -> Iterator[None]:
    """Functions that are compiled inside are kept on disk; Cellpose 4 comes without Numba."""
    if importlib.util.find_spec("numba") is None:
        yield
        return
    numba: Any = importlib.import_module("numba")
    compiles = numba.njit
    numba.njit = partial(compiles, cache=True)
    try:
        yield
    finally:
        numba.njit = compiles


with _kept():
    from cellpose import dynamics, models
