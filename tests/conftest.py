"""Which tests may run side by side: all but those of the cascade and the cluster, which keep every core busy."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and PyTorch: waiting threads would keep a core busy

ALONE = {Path(__file__).with_name(name) for name in ("e2e", "slurm")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that must not run at the same time to one process of pytest-xdist, in their order."""
    for item in items:
        if ALONE & set(item.path.parents):
            item.add_marker(pytest.mark.xdist_group("cascade"))
