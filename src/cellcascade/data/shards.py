"""Stores: the intermediate results, each one zipped Zarr v3 file, written whole or not at all.

A store is built in a temporary folder beside its place, zipped once and moved there with one rename, so that a killed
job leaves nothing half-written. Equal content gives equal bytes: members are sorted and carry a fixed time stamp.

What a store holds is said once, by its `Schema`: arrays with their axes and types, and a typed record. The nine schemas
of the cascade are in `cellcascade.data.stores`.
"""

import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, ValidationError

from cellcascade import __version__
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, digest

UNREADABLE = (KeyError, ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile)


def shard_ranges(total: int, size: int) -> list[tuple[int, int]]:
    """Split `total` items into ranges `(start, stop)` of at most `size`."""
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def shard_name(index: int) -> str:
    """Wildcard value of the `index`-th shard, e.g. `003`."""
    return f"{index:03d}"


class Record(BaseModel):
    """What every store says of itself; each schema adds its own facts.

    Attributes:
        dataset: Name of the data set.
        seed: Seed that its random numbers were drawn below.
        stage_version: Version of the stage that wrote it; schemas give their stage's as the default.
        package_version: Version of cellcascade that wrote it.
        digests: Digests of the files it was made from, by their names.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    dataset: str
    seed: int
    stage_version: int
    package_version: str = __version__
    digests: dict[str, str]


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Array:
    """One array of a schema.

    Attributes:
        axes: Names of its axes, e.g. `"n z y x"`; `...` stands for any number of axes. Axis `n` counts the items and
            has the same length in all arrays of a store.
        types: Names of the types it may have, e.g. `"uint8"`, or several, separated by blanks.
    """

    axes: str
    types: str

    def flaw(self, array: np.ndarray) -> str:
        """Why an array is not one of these; empty if it is."""
        names = self.axes.split()
        fits = array.ndim >= len(names) - 1 if "..." in names else array.ndim == len(names)
        if not fits:
            return f"shape {array.shape}, not ({', '.join(names)})"
        return "" if array.dtype.name in self.types.split() else f"type {array.dtype}, not {self.types}"


@dataclass(frozen=True)
class Schema(Generic[R]):
    """What a kind of store holds.

    Attributes:
        tag: Its name and the version of its layout, e.g. `"masks/2"`; a store carries it.
        arrays: Its arrays by name.
        record: Its typed record.
        items_per_chunk: Items of the first axis in one chunk.
    """

    tag: str
    arrays: Mapping[str, Array]
    record: type[R]
    items_per_chunk: int = 1

    def write(self, path: str | Path, arrays: Mapping[str, np.ndarray], record: R) -> None:
        """Write a store, whole or not at all.

        Args:
            path: Place of the store, `*.zarr.zip`.
            arrays: All arrays of the schema; those with two axes or more are chunked along the first one.
            record: Its record.

        Raises:
            InputError: The disk is full.
            ValueError: The arrays are not those of the schema: a fault of the caller.
        """
        self.check(arrays)
        with self._zipped(path) as root:
            for name, array in arrays.items():
                root.create_array(name, data=array, chunks=self.chunks(array))
            root.update_attributes(self.attributes(record))

    @contextmanager
    def writer(self, path: str | Path) -> Iterator["Writer[R]"]:
        """Write a store some items at a time, so that it is never in memory as a whole.

        The store is there when the block ends well, with the bytes that `write` gives it; else it is not.

        Args:
            path: Place of the store, `*.zarr.zip`. All arrays of the schema count its items.

        Raises:
            InputError: The disk is full.
            ValueError: The arrays are not those of the schema, or the writer was not finished: a fault of the caller.
        """
        with self._zipped(path) as root:
            writer = Writer(self, root)
            yield writer
            if not writer.finished:
                raise ValueError(f"{self.tag}: not finished")

    @contextmanager
    def _zipped(self, path: str | Path) -> Iterator[zarr.Group]:
        """A group in a temporary folder that becomes the store if the block ends well."""
        with atomic_path(path) as scratch, tempfile.TemporaryDirectory(dir=scratch.parent) as folder:
            yield zarr.create_group(folder)
            _zip_folder(Path(folder), scratch)

    def chunks(self, array: np.ndarray) -> tuple[int, ...]:
        """Lengths of an array's chunks; those with one axis are one chunk."""
        length = min(self.items_per_chunk, array.shape[0]) if array.ndim > 1 else array.shape[0]
        return tuple(max(1, n) for n in (length, *array.shape[1:]))

    def attributes(self, record: R) -> dict[str, Any]:
        """What a store with a record says of itself."""
        return {"schema": self.tag, **record.model_dump(mode="json")}

    def open(self, path: str | Path) -> "Store[R]":
        """Open a store; its arrays are read when they are asked for.

        Raises:
            InputError: The file is missing, is no zipped Zarr store, or holds something else.
        """
        try:
            group = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
            tag, attributes = group.attrs.get("schema"), dict(group.attrs)
        except (*UNREADABLE, zarr.errors.GroupNotFoundError) as error:
            raise _damaged(path, repr(error), f"a store '{self.tag}'") from error
        if tag != self.tag:
            raise _damaged(path, f"a store '{tag}'", f"a store '{self.tag}'")
        try:
            return Store(Path(path), self, group, self.record.model_validate(attributes))
        except ValidationError as error:
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise _damaged(path, found, f"the record of a store '{self.tag}'") from error

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Make sure that arrays are those of the schema.

        Raises:
            ValueError: They are not: a fault of the caller.
        """
        if set(arrays) != set(self.arrays):
            raise ValueError(f"{self.tag}: arrays {sorted(arrays)}, not {sorted(self.arrays)}")
        flaws = {name: self.arrays[name].flaw(array) for name, array in arrays.items()}
        counts = {len(array) for name, array in arrays.items() if self.arrays[name].axes.split()[0] == "n"}
        found = [f"{name}: {flaw}" for name, flaw in flaws.items() if flaw]
        found += [f"arrays of {sorted(counts)} items"] if len(counts) > 1 else []
        if found:
            raise ValueError(f"{self.tag}: {'; '.join(found)}")


class Writer(Generic[R]):
    """A store in the making, see `Schema.writer`: it is given items in their order, then the record.

    Args:
        schema: What the store holds.
        root: Where it is written.
    """

    def __init__(self, schema: Schema[R], root: zarr.Group):
        self.finished = False
        self._schema, self._root = schema, root
        self._waiting: dict[str, list[np.ndarray]] = {name: [] for name in schema.arrays}
        self._written: dict[str, zarr.Array] = {}

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add items: whole chunks are written at once, what is left over waits for the next items.

        Args:
            arrays: All arrays of the schema.
        """
        self._schema.check(arrays)
        for name, array in arrays.items():
            if any(array.dtype != other.dtype for other in self._waiting[name]):
                raise ValueError(f"{self._schema.tag}: {name} was of another type, and is {array.dtype} now")
            self._waiting[name].append(array)
            if array.ndim > 1:  # the others are small, and a single chunk each
                self._write(name, self._schema.items_per_chunk)

    def finish(self, record: R) -> None:
        """Write what is left, and the record. At least one item was added."""
        for name in self._waiting:
            self._write(name, 1)
        self._root.update_attributes(self._schema.attributes(record))
        self.finished = True

    def _write(self, name: str, multiple: int) -> None:
        """Write as many waiting items of an array as are a multiple of a number."""
        items = np.concatenate(self._waiting[name])
        count = len(items) - len(items) % multiple
        self._waiting[name] = [items[count:].copy()]
        if name in self._written:
            self._written[name].append(items[:count])
        elif count:
            chunks = self._schema.chunks(items)
            self._written[name] = self._root.create_array(name, data=items[:count], chunks=chunks)


@dataclass(frozen=True)
class Store(Generic[R]):
    """An opened store. Its arrays are read when they are asked for, and a damaged one is reported with its file.

    Attributes:
        path: Its file.
        schema: What it holds.
        record: Its record.
    """

    path: Path
    schema: Schema[R]
    group: zarr.Group = field(repr=False)
    record: R

    def __getitem__(self, name: str) -> np.ndarray:
        """A whole array; see `read`."""
        return self.read(name)

    def close(self) -> None:
        """Let go of the file until something is read again: a process may hold only so many at once."""
        self.group.store.close()

    def read(self, name: str, rows: int | slice | np.ndarray = slice(None)) -> np.ndarray:
        """Read an array, or some of its rows.

        Args:
            name: Name of the array.
            rows: Which items of the first axis; an array gives their numbers.

        Raises:
            InputError: The array is missing or its bytes are damaged.
        """
        try:
            array = self._array(name)
            return np.asarray(array.oindex[rows] if isinstance(rows, np.ndarray) else array[rows])
        except UNREADABLE as error:
            raise self._unreadable(name, error) from error

    def shape(self, name: str) -> tuple[int, ...]:
        """Lengths of an array's axes; nothing of it is read.

        Raises:
            InputError: The array is missing.
        """
        try:
            return self._array(name).shape
        except UNREADABLE as error:
            raise self._unreadable(name, error) from error

    def damaged(self, found: str, expected: str) -> InputError:
        """The error for content that cannot be: how to get the store anew."""
        return _damaged(self.path, found, expected)

    def _array(self, name: str) -> zarr.Array:
        array = self.group[name]
        if not isinstance(array, zarr.Array):
            raise KeyError(f"{name} is no array")
        return array

    def _unreadable(self, name: str, error: Exception) -> InputError:
        return _damaged(self.path, repr(error), f"a readable array '{name}' in a '{self.schema.tag}'")


def digests_of(paths: Iterable[str | Path | None]) -> dict[str, str]:
    """Digests of files by their names, for a store's record; `None` among them is left out.

    The name is that of the file with its folder, e.g. `masks/shard-000.zarr.zip`; of an array in an OME-Zarr, its place
    in there, e.g. `img.ome.zarr/labels/cells/0`.
    """
    return {_name_of(Path(path)): digest(path) for path in paths if path is not None}


def _name_of(path: Path) -> str:
    store = next((number for number, name in enumerate(path.parts) if name.endswith(".zarr")), len(path.parts))
    return "/".join(path.parts[min(store, len(path.parts) - 2) :])


def check_invalid(reasons: Mapping[int, str], total: int, max_fraction: float, store: str | Path) -> None:
    """Stop a job of which too many cells failed.

    Args:
        reasons: Why cells are invalid, by their numbers.
        total: Number of cells of the job.
        max_fraction: Largest share of them that may be invalid.
        store: The store that was to be written.

    Raises:
        InputError: More than `max_fraction` of the cells are invalid.
    """
    if len(reasons) > max_fraction * total:
        raise InputError(
            "Too many cells of a shard are invalid",
            where=store,
            found=f"{len(reasons)} of {total}: {sorted(set(reasons.values()))}",
            expected=f"at most {max_fraction:.0%} (max_invalid_fraction)",
            fix="train the model of this stage longer, or raise max_invalid_fraction",
        )


def _zip_folder(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for member in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(member.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, member.read_bytes())


def _damaged(path: str | Path, found: str, expected: str) -> InputError:
    return InputError(
        "A store cannot be used",
        where=path,
        found=found,
        expected=expected,
        fix=f"delete {path} and rerun snakemake: it remakes this file alone",
    )
