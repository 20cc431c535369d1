"""Shards: the intermediate results, each one zipped Zarr v3 store, written whole or not at all.

A shard is built in a temporary folder beside its place, zipped once and moved there with one rename,
so that a killed job leaves nothing half-written. Equal content gives equal bytes: members are sorted
and carry a fixed time stamp.
"""

import errno
import filecmp
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import zarr

from cellcascade import __version__
from cellcascade.core.errors import InputError


def shard_ranges(total: int, size: int) -> list[tuple[int, int]]:
    """Split `total` items into ranges `(start, stop)` of at most `size`."""
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def shard_name(index: int) -> str:
    """Wildcard value of the `index`-th shard, e.g. `003`."""
    return f"{index:03d}"


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
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except Exception as error:
        if not isinstance(error, InputError) and _disk_is_full(error):
            raise _no_space(path, error) from error
        raise


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


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk or a used up quota; some libraries keep no more than its text."""
    full = (errno.ENOSPC, errno.EDQUOT)
    while error is not None:
        if getattr(error, "errno", None) in full or any(os.strerror(number) in str(error) for number in full):
            return True
        error = error.__cause__ or error.__context__
    return False


def _no_space(path: Path, error: Exception) -> InputError:
    free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.exists() else 0
    return InputError(
        "The disk is full",
        where=path,
        found=f"{error} ({free:.0f} MB free after the unfinished file was removed)",
        expected="room for the file, on the disk and within the quota",
        mend="free some space and run the same command again: it goes on with this file",
    )


def digest(path: str | Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def write_shard(
    path: str | Path,
    *,
    schema: str,
    arrays: Mapping[str, np.ndarray],
    attributes: Mapping | None = None,
    items_per_chunk: int = 1,
) -> None:
    """Write arrays as one zipped Zarr store.

    Args:
        path: Place of the shard, `*.zarr.zip`.
        schema: Tag of what the store holds, e.g. `"masks/1"`; `open_shard` asks for it.
        arrays: Named arrays; arrays with two axes or more are chunked along the first one.
        attributes: JSON-able attributes of the store: cell range, seed, digests of inputs.
        items_per_chunk: Items of the first axis in one chunk.
    """
    with atomic_path(path) as scratch, tempfile.TemporaryDirectory(dir=scratch.parent) as folder:
        root = zarr.create_group(
            folder, attributes={"schema": schema, "cellcascade_version": __version__, **(attributes or {})}
        )
        for name, array in arrays.items():
            array = np.asarray(array)
            chunks = (max(1, min(items_per_chunk, array.shape[0])), *array.shape[1:]) if array.ndim > 1 else array.shape
            root.create_array(name, data=array, chunks=tuple(max(1, n) for n in chunks))
        _zip_folder(Path(folder), scratch)


def _zip_folder(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for member in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(member.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, member.read_bytes())


def open_shard(path: str | Path, schema: str) -> zarr.Group:
    """Open a shard for reading and check that it is what the caller expects.

    Args:
        path: A `*.zarr.zip` store.
        schema: The schema tag the store must carry.

    Raises:
        InputError: The file is missing, is no zipped Zarr store, or carries another schema tag.
    """
    mend = f"delete {path} and rerun snakemake: it remakes this file alone"
    try:
        group = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
    except (OSError, zipfile.BadZipFile, zarr.errors.GroupNotFoundError) as error:
        raise InputError(
            "A shard cannot be opened",
            where=path,
            found=repr(error),
            expected=f"a zipped Zarr store '{schema}'",
            mend=mend,
        ) from error
    if group.attrs.get("schema") != schema:
        raise InputError(
            "A shard holds something else",
            where=path,
            found=f"schema {group.attrs.get('schema')!r}",
            expected=f"schema {schema!r}",
            mend=mend,
        )
    return group


def check_invalid(reasons: dict[str, str], total: int, max_fraction: float, store: str) -> None:
    """Stop a job of which too many cells failed.

    Raises:
        InputError: More than `max_fraction` of the `total` cells have a reason to be invalid.
    """
    if len(reasons) > max_fraction * total:
        raise InputError(
            "Too many cells of a shard are invalid",
            where=store,
            found=f"{len(reasons)} of {total}: {sorted(set(reasons.values()))}",
            expected=f"at most {max_fraction:.0%} (max_invalid_fraction)",
            mend="train the model of this stage longer, or raise max_invalid_fraction",
        )
