"""Archives of data sets: fetched, checked, and unpacked whole or not at all.

A download that broke off goes on where it stopped, if the server can; the archive is then unpacked beside its place and
moved there at once. Members that would land outside are refused before anything is written. Free of torch.
"""

import hashlib
import json
import logging
import shutil
import stat
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from cellcascade.config.datasets import Config
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, write_json
from cellcascade.core.logs import progress

logger = logging.getLogger(__name__)

TIMEOUT = 60.0  # seconds that a server may be silent
TRIES = 5  # of a connection that drops
BLOCK = 2**20  # bytes
VALIDATORS = ("ETag", "Last-Modified")  # headers by which a server knows its file again


@dataclass(frozen=True)
class Archive:
    """Where a data set comes from.

    Attributes:
        folder: Folder of the data set, which is made.
        source: Address of a zip archive, or its path.
        sha256: Its SHA-256; `None` if it is not known.
    """

    folder: Path
    source: str
    sha256: str | None = None


def download_data(*, archives: list[Archive]) -> None:
    """Stage `download_ctc`: fetch and unpack the data sets that are not there yet.

    Args:
        archives: The data sets.

    Raises:
        InputError: An archive cannot be fetched, is damaged, or is not what it should be.
    """
    for archive in archives:
        if archive.folder.exists():
            logger.info("%s is there already", archive.folder)
        else:
            fetch_data(archive)


def fetch_data(archive: Archive) -> None:
    """Fetch one data set and unpack it; an archive on the disk is left where it is, one that was fetched is removed.

    Raises:
        InputError: The archive cannot be fetched, is damaged, or is not what it should be.
    """
    remote = archive.source.startswith(("http://", "https://"))
    archive.folder.parent.mkdir(parents=True, exist_ok=True)
    part = archive.folder.parent / f".{archive.folder.name}.zip.part"
    file = _fetched(archive.source, part) if remote else Path(archive.source).expanduser()
    try:
        _check_digest(archive, file)
        unpack(file, archive.folder)
    except InputError:
        if remote:
            _remove(part)  # what is wrong with it would be wrong the next time
        raise
    if remote:
        _remove(part)
    logger.info("unpacked %s", archive.folder)


def unpack(file: Path, folder: Path) -> None:
    """Unpack a zip archive so that what it holds is the folder; complete, or not at all.

    Args:
        file: The archive. A single folder in it, of any name, becomes the folder itself.
        folder: The folder to make.

    Raises:
        InputError: The file is no archive, is damaged, or has members that would land outside of the folder.
    """
    try:
        with zipfile.ZipFile(file) as archive, atomic_path(folder) as scratch:
            members = [member for member in archive.infolist() if not member.filename.startswith("__MACOSX/")]
            for member in members:
                _check_member(member, file)
            inside = scratch.with_name("unpacked")
            for member in progress(members, total=len(members), what=f"files of {folder.name}"):
                archive.extract(member, inside)
            names = [path.name for path in inside.iterdir()]
            shutil.move(inside / names[0] if len(names) == 1 and (inside / names[0]).is_dir() else inside, scratch)
    except FileNotFoundError as error:
        raise _no_archive(file, "no such file") from error
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _no_archive(file, f"{type(error).__name__}: {error}") from error


def _check_member(member: zipfile.ZipInfo, file: Path) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or link:
        raise InputError(
            "An archive would write outside of its folder",
            where=file,
            found=f"{'a link' if link else 'the member'} {member.filename!r}",
            expected="members below one folder, and no links",
            fix="do not use this archive; get the data set from where it was published",
        )


def _check_digest(archive: Archive, file: Path) -> None:
    if archive.sha256 is None or not file.is_file():
        return
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != archive.sha256.lower():
        raise InputError(
            "An archive is not the one that was expected",
            where=archive.source,
            found=f"SHA-256 {found}",
            expected=f"SHA-256 {archive.sha256}",
            fix="fetch it again; if the data set was published anew, correct archive_sha256, or leave it out",
        )


def _fetched(url: str, part: Path) -> Path:
    """The archive, fetched whole into `part`, which an earlier try may have begun."""
    problem: Exception | None = None
    for _ in range(TRIES):
        try:
            if _fetch_rest(url, part):
                return part
        except urllib.error.HTTPError as error:
            if error.code != 416:  # what there is of the file is not what the server has
                raise _not_fetched(url, part, error) from error
            _remove(part)
        except (OSError, HTTPException) as error:
            problem = error
    raise _not_fetched(url, part, problem or EOFError("the connection was closed too early, again and again"))


def _fetch_rest(url: str, part: Path) -> bool:
    """Fetch what is missing of a file; gives whether it is whole now."""
    record = part.with_name(f"{part.name}.json")
    known = _known(record) if part.exists() else {}
    start = part.stat().st_size if known else 0
    headers = {"Range": f"bytes={start}-", "If-Range": known["validator"]} if start else {}
    with _opened(urllib.request.Request(url, headers=headers)) as answer:
        resumed = answer.status == 206
        validator = next((answer.headers[name] for name in VALIDATORS if answer.headers[name]), None)
        write_json(record, {"validator": validator} if validator else {})
        start = start if resumed else 0
        size = int(answer.headers["Content-Length"] or 0) + start
        logger.info("%s %s, %d MB", "goes on with" if resumed else "fetches", url, size / 1e6)
        with part.open("ab" if resumed else "wb") as file:
            blocks = iter(lambda: answer.read(BLOCK), b"")
            done = start // BLOCK
            for block in progress(blocks, total=max(done, -(-size // BLOCK)), what="MiB", start=done):
                file.write(block)
    return not size or part.stat().st_size == size


@contextmanager
def _opened(request: urllib.request.Request) -> Iterator[HTTPResponse]:
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        yield answer


def _known(record: Path) -> dict[str, str]:
    """By what the server knows the file of an earlier try; empty if it cannot go on."""
    with suppress(OSError, ValueError):
        read = json.loads(record.read_text())
        return read if isinstance(read, dict) and read.get("validator") else {}
    return {}


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)


def _no_archive(file: Path, found: str) -> InputError:
    return InputError(
        "A data set's archive cannot be unpacked",
        where=file,
        found=found,
        expected="a complete zip archive",
        fix="fetch it again, or correct archive in the data set's entry",
    )


def _not_fetched(url: str, part: Path, error: Exception) -> InputError:
    return InputError(
        "A data set's archive cannot be fetched",
        where=url,
        found=f"{type(error).__name__}: {error}",
        expected="a zip archive at this address",
        fix="run the same command again, it goes on where it stopped; or fetch the file elsewhere, and unzip it into "
        f"{part.parent.absolute()}",
    )


def archive_of(config: Config, name: str, source: str | None = None) -> Archive:
    """The archive of a data set.

    Args:
        config: The configuration.
        name: Name of the data set, or of its folder.
        source: Address or path of the archive; `None`: as configured.

    Raises:
        InputError: There is no such data set, or its archive is not known.
    """
    entry = next((entry for key, entry in config.datasets.items() if name in (key, entry.folder)), None)
    if entry is None:
        known = ", ".join(f"{key} ({entry.folder})" for key, entry in config.datasets.items())
        raise InputError(
            "There is no such data set",
            where="datasets",
            found=name,
            expected=f"one of {known}",
            fix="correct the name, or give the configuration that holds it with --config",
        )
    if not (source or entry.archive):
        raise InputError(
            "It is not known where the data set comes from",
            where=f"datasets, folder {entry.folder}",
            found="no archive",
            expected="the address or path of a zip archive",
            fix="give it with --archive, or as archive in the data set's entry",
        )
    folder = Path(config.data_root) / entry.folder
    return Archive(folder, source or str(entry.archive), None if source else entry.archive_sha256)
