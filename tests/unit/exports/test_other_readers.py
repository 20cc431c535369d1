"""Exports opened, checked and learned from by the programs that they are for, each in an environment of its own."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from tests.unit.exports.conftest import labels_of

CHOSEN = "CELLCASCADE_OTHER_READERS"
PACKAGES = {
    "cellpose": ["cellpose>=3.1.1,<4", "numpy<2.1"],
    "stardist": ["stardist>=0.9", "tensorflow-cpu"],
    "nnunet": ["nnunetv2>=2.5"],
    "hub": ["datasets>=4", "pillow"],
    "coco": ["pycocotools>=2.0.8"],
}
READERS = Path(__file__).parent / "readers"

pytestmark = pytest.mark.skipif(
    CHOSEN not in os.environ,
    reason=f"downloads gigabytes: set {CHOSEN} to a folder where their environments are, or will be made",
)


def python_with(form: str) -> Path:
    """Python of an environment with the packages that read a format."""
    folder = Path(os.environ[CHOSEN]).resolve() / form
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [folder / "bin/python", "-m", "pip", "install", "--quiet", *PACKAGES[form]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"its packages cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / "ready").touch()
    return folder / "bin/python"


@pytest.mark.parametrize("ndim", (2, 3))
@pytest.mark.parametrize("form", PACKAGES)
def test_the_program_itself_takes_the_export(flat, stacks, exported, form, ndim):
    source = flat if ndim == 2 else stacks
    few = {"memory_gb": 0.002 if ndim == 2 else 0.0006} if form == "cellpose" else {}
    folder, _ = exported(form, source, **few)
    reference = folder.parent / "labels.npz"
    np.savez(reference, **labels_of(source))
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python_with(form), READERS / f"read_{form}.py", folder, reference]
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    print(done.stdout[-1000:], file=sys.stderr)
