"""Data sets in zip archives, unpacked once."""

import hashlib
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.data.layouts.links import plain_name

UNPACKED = Path("resources/unpacked")  # below the folder of the run, as all that is fetched


def archive_of(folder: Path) -> Path | None:
    """The archive that a data set's folder is, or that lies in its place; `None` for a folder."""
    if folder.is_file():
        return folder
    beside = folder.with_name(f"{folder.name}.zip")
    return beside if beside.is_file() and not folder.is_dir() else None


def unpacked(archive: Path) -> Path:
    """The folder in which an archive is unpacked, named by its contents; it is unpacked if that is not there yet.

    Raises:
        InputError: The file is no sound archive, or holds files that would lie outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [item for item in opened.infolist() if not item.is_dir()]
            listed = repr([(item.filename, item.file_size, item.CRC) for item in members])
            folder = UNPACKED / f"{plain_name(archive.stem)}-{hashlib.sha256(listed.encode()).hexdigest()[:12]}"
            if folder.is_dir():
                return folder
            for item in members:
                _check_name(item.filename, archive)
            with atomic_path(folder) as scratch:
                scratch.mkdir()
                for item in members:
                    target = scratch / item.filename
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(item) as source, open(target, "wb") as copy:
                        shutil.copyfileobj(source, copy)
            return folder
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(
            "An archive cannot be unpacked",
            where=archive,
            found=f"{type(error).__name__}: {error}",
            expected="a zip archive without a password, or a folder",
            fix="download it again, or unpack it and give the folder",
        ) from error


def _check_name(name: str, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InputError(
            "An archive holds a file that would be written elsewhere",
            where=archive,
            found=name,
            expected="names below the archive's folder",
            fix="do not trust this archive; if you do, unpack it yourself and give the folder",
        )
