"""Exports opened, checked and learned from by the programs that they are for, each in an environment of its own."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.environments import WHEN_ASKED, python_with, run
from tests.unit.exports.conftest import labels_of

PACKAGES = {
    "cellpose": ["cellpose>=3.1.1,<4", "numpy<2.1"],
    "stardist": ["stardist>=0.9", "tensorflow-cpu"],
    "nnunet": ["nnunetv2>=2.5"],
    "hub": ["datasets>=4", "pillow"],
    "coco": ["pycocotools>=2.0.8"],
}
READERS = Path(__file__).parent / "readers"

pytestmark = WHEN_ASKED


@pytest.mark.parametrize("ndim", (2, 3))
@pytest.mark.parametrize("form", PACKAGES)
def test_the_program_itself_takes_the_export(flat, stacks, exported, form, ndim):
    source = flat if ndim == 2 else stacks
    few = {"memory_gb": 0.002 if ndim == 2 else 0.0006} if form == "cellpose" else {}
    folder, _ = exported(form, source, **few)
    reference = folder.parent / "labels.npz"
    np.savez(reference, **labels_of(source))
    python = python_with(form, PACKAGES[form])
    print(run(python, READERS / f"read_{form}.py", folder, reference, cwd=folder.parent)[-1000:], file=sys.stderr)
