"""Data sets that a page is made from, 2D and 3D."""

import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.toy import write_dataset


@pytest.fixture(params=[2, 3], ids=["2d", "3d"], scope="session")
def ndim(request):
    return request.param


@pytest.fixture(scope="session")
def written(tmp_path_factory, ndim):
    """A data set, the folder that holds it and the arguments of `write_report`; no test may change it."""
    folder = tmp_path_factory.mktemp(f"written{ndim}d")
    return folder, write_dataset(folder, ndim)


@pytest.fixture
def inputs(written, tmp_path):
    """Arguments of `write_report`: a copy that a test may damage."""
    root, arguments = written
    shutil.copytree(root, tmp_path / "copy")
    return moved(arguments, root, tmp_path / "copy")


def moved(value: Any, root: Path, copy: Path) -> Any:
    """A value whose paths below `root` are those below `copy`."""
    if isinstance(value, Path):
        return copy / value.relative_to(root)
    if isinstance(value, list):
        return [moved(item, root, copy) for item in value]
    if isinstance(value, dict):
        return {name: moved(item, root, copy) for name, item in value.items()}
    if is_dataclass(value):
        return type(value)(**{item.name: moved(getattr(value, item.name), root, copy) for item in fields(value)})
    return value
