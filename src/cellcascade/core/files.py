"""Files that are written whole or not at all, and their digests. Free of torch."""

import errno
import filecmp
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from cellcascade.core.errors import InputError

LATE_WRITES_S = 10.0


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path (file or folder) that takes the place of `path` if the block ends well.

    Raises:
        InputError: The disk is full; what was written so far is removed.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield scratch / path.name
            _move(scratch / path.name, path)
        except BaseException:
            _remove(scratch)
            raise
        shutil.rmtree(scratch, ignore_errors=True)
    except Exception as error:
        if not isinstance(error, InputError) and disk_is_full(error):
            raise disk_full(path, error) from error
        raise


def _remove(folder: Path) -> None:
    """Remove a folder though threads still write into it: Zarr's other chunks when one of them failed."""
    deadline = time.monotonic() + LATE_WRITES_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


def _move(new: Path, path: Path) -> None:
    if new.is_file():
        new.chmod(0o644)  # some libraries write files that only their owner can read
        if path.is_file() and filecmp.cmp(new, path, shallow=False):
            return  # a job that a killed run left made it again: a new date would have all made anew that depends on it
    while True:
        try:
            return os.replace(new, path)
        except OSError as error:
            # A folder that is not empty: it moves into ours first, unless another job that makes the same did so.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            with suppress(FileNotFoundError):
                os.replace(path, tempfile.mkdtemp(dir=new.parent))


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk or a used up quota; some libraries keep no more than its text."""
    full = (errno.ENOSPC, errno.EDQUOT)
    while error is not None:
        if getattr(error, "errno", None) in full or any(os.strerror(number) in str(error) for number in full):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(path: Path, error: Exception) -> InputError:
    """The error that says which file found no room."""
    free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.exists() else 0
    return InputError(
        "The disk is full",
        where=path,
        found=f"{error} ({free:.0f} MB free after the unfinished file was removed)",
        expected="room for the file, on the disk and within the quota",
        fix="free some space and run the same command again: it goes on with this file",
    )


def digest(path: str | Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file, or of the names and contents of a folder's files."""
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listed = json.dumps([[file.relative_to(path).as_posix(), digest(file)] for file in files])
        return hashlib.sha256(listed.encode()).hexdigest()[:16]
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def write_json(path: str | Path, content: dict) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_path(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_table(path: str | Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a CSV file whole or not at all, its numbers in full, or in a format such as `%.6g`."""
    with atomic_path(path) as scratch:
        table.to_csv(scratch, index=False, float_format=float_format)
