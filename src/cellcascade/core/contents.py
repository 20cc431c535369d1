"""What files hold, as digests: so that contents count, not dates and places. Digests are kept, as reading takes time.

A folder's digests lie in one small file below the user's cache folder, with the size and the dates by which a changed
file is noticed. A cache that cannot be written costs time alone. Free of torch.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path

WHOLE = 2**26  # bytes; of larger files some parts count, and the size
PARTS, PART = 64, 2**16  # number of these, and bytes of each
DIGITS = 16  # hexadecimal digits of a digest
Known = dict[str, list]  # by name: state of a file, and its digest


def digests_of_contents(paths: Iterable[Path]) -> dict[Path, str]:
    """Digests of files, or of folders with all that is in them.

    Args:
        paths: The files; each is read only if it is new or has changed since its digest was made.

    Raises:
        InputError: A file cannot be read.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    found: dict[Path, str] = {}
    for folder, members in by_folder.items():
        place = _place(folder)
        known = _kept(place)
        before = dict(known)
        for path in members:
            found[path] = _of_folder(path) if path.is_dir() else _of_file(path, known)
        if known != before:
            _keep(place, known)
    return found


def _of_folder(folder: Path) -> str:
    """Digest of all files below a folder, by their names in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = digests_of_contents(files)
    joined = "".join(f"{path.relative_to(folder)}\0{digests[path]}\0" for path in files)
    return hashlib.sha256(joined.encode()).hexdigest()[:DIGITS]


def _of_file(path: Path, known: Known) -> str:
    try:
        status = path.stat()
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = known.get(path.name)
        if not entry or entry[:3] != state:
            known[path.name] = entry = [*state, _read(path, status.st_size)]
    except OSError as error:
        raise InputError(
            "A file cannot be read",
            where=path,
            found=error.strerror or type(error).__name__,
            expected="a file that you may read",
            fix="see its permissions, and whether its disk is there",
        ) from error
    return entry[3]


def _read(path: Path, size: int) -> str:
    """Digest of a file; of a large one, of parts that are evenly spread over it."""
    with path.open("rb") as file:
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
        total = hashlib.sha256(str(size).encode())
        for index in range(PARTS):
            file.seek((size - PART) * index // (PARTS - 1))
            total.update(file.read(PART))
        return total.hexdigest()[:DIGITS]


def _place(folder: Path) -> Path:
    """Where the digests of a folder are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()[:DIGITS]
    return cache / "cellcascade" / "digests" / f"{name}.json"


def _kept(place: Path) -> Known:
    with suppress(OSError, ValueError):
        read = json.loads(place.read_text())
        if isinstance(read, dict):
            return {name: entry for name, entry in read.items() if isinstance(entry, list) and len(entry) == 4}
    return {}


def _keep(place: Path, known: Known) -> None:
    with suppress(OSError, InputError), atomic_path(place) as scratch:
        scratch.write_text(json.dumps(known))
