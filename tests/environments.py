"""Environments of their own, for programs that are not installed beside the tests."""

import os
import subprocess
import venv
from pathlib import Path

import pytest

CHOSEN = "CELLCASCADE_OTHER_READERS"
WHEN_ASKED = pytest.mark.skipif(
    CHOSEN not in os.environ,
    reason=f"downloads gigabytes: set {CHOSEN} to a folder where their environments are, or will be made",
)


def python_with(name: str, packages: list[str]) -> Path:
    """Python of the environment of a name; where it is not there yet, it is made, with some packages."""
    folder = Path(os.environ[CHOSEN]).resolve() / name
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [folder / "bin/python", "-m", "pip", "install", "--quiet", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"its packages cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / "ready").touch()
    return folder / "bin/python"


def run(*command: object, cwd: Path, **variables: str) -> str:
    """What a command prints, with some environment variables and without this environment's own path of Python."""
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout
