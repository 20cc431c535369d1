"""Data sets are fetched from a real server: resumed, checked, unpacked whole or not at all, and never elsewhere."""

import io
import stat
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import yaml

from cellcascade.cli import main
from cellcascade.core.errors import InputError
from cellcascade.data.download import TRIES, Archive, download_data, fetch_data
from tests.unit.data.serving import Served, serving

FILES = {
    "01/t000.tif": np.random.default_rng(0).bytes(200_000),
    "01_GT/SEG/man_seg000.tif": b"labels",
}


def packed(files: dict[str, bytes], top: str = "Toy/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{top}{name}", content)
    return buffer.getvalue()


CONTENT = packed(FILES)
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving(Served(CONTENT)) as served:
        yield served


def there(folder: Path) -> dict[str, bytes]:
    """What lies below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_fetched_checked_and_unpacked(server, tmp_path):
    fetch_data(Archive(tmp_path / "data/Toy", server.address, DIGEST.upper()))
    assert there(tmp_path / "data") == {f"Toy/{name}": content for name, content in FILES.items()}
    download_data(archives=[Archive(tmp_path / "data/Toy", server.address)])
    assert len(server.ranges) == 1  # it is there already


@pytest.mark.parametrize("top", ["", "some/", "Toy 2/"])
def test_what_the_archive_holds_becomes_the_folder_whatever_its_own_is_called(tmp_path, top):
    (tmp_path / "a.zip").write_bytes(packed(FILES, top))
    fetch_data(Archive(tmp_path / "Toy", str(tmp_path / "a.zip")))
    assert there(tmp_path / "Toy") == FILES and (tmp_path / "a.zip").exists()


def test_a_dropped_connection_goes_on_where_it_stopped(server, tmp_path):
    server.drops = [50_000, 70_000]
    fetch_data(Archive(tmp_path / "Toy", server.address, DIGEST))
    assert server.ranges == [None, "bytes=50000-", "bytes=120000-"] and there(tmp_path / "Toy") == FILES


def test_a_later_run_goes_on_with_what_an_earlier_one_fetched(server, tmp_path):
    server.drops = [10_000] * TRIES
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        fetch_data(Archive(tmp_path / "Toy", server.address, DIGEST))
    assert "goes on where it stopped" in caught.value.fix and not (tmp_path / "Toy").exists()
    fetch_data(Archive(tmp_path / "Toy", server.address, DIGEST))
    assert server.ranges[-1] == f"bytes={TRIES * 10_000}-" and there(tmp_path / "Toy") == FILES


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    server.drops = [10_000] * TRIES
    with pytest.raises(InputError):
        fetch_data(Archive(tmp_path / "Toy", server.address))
    server.content, server.tag = packed({"01/t000.tif": b"new"}), '"two"'
    fetch_data(Archive(tmp_path / "Toy", server.address))
    assert there(tmp_path / "Toy") == {"01/t000.tif": b"new"}


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.tag, server.drops = "", [50_000]
    fetch_data(Archive(tmp_path / "Toy", server.address, DIGEST))
    assert server.ranges == [None, None] and there(tmp_path / "Toy") == FILES


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_answer_that_is_no_file_is_named(server, tmp_path, status):
    server.status = status
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        fetch_data(Archive(tmp_path / "Toy", server.address))
    assert str(status) in caught.value.found and not list(tmp_path.iterdir())


def test_another_archive_than_the_expected_one_is_refused_and_removed(server, tmp_path):
    with pytest.raises(InputError, match="not the one that was expected") as caught:
        fetch_data(Archive(tmp_path / "Toy", server.address, "0" * 64))
    assert DIGEST in caught.value.found and not list(tmp_path.iterdir())


DAMAGED = [CONTENT[:-100], CONTENT[:100] + b"x" * 50 + CONTENT[150:], b"<html>moved</html>", b""]


@pytest.mark.parametrize("content", DAMAGED, ids=["truncated", "overwritten", "a page", "empty"])
def test_a_damaged_archive_leaves_nothing_behind(server, tmp_path, content):
    server.content = content
    with pytest.raises(InputError, match="cannot be unpacked"):
        fetch_data(Archive(tmp_path / "Toy", server.address))
    assert not list(tmp_path.iterdir())


OUTSIDE = ["../outside.txt", "/outside.txt", "Toy/../../outside.txt", "..\\outside.txt", "C:/x.txt"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_members_that_would_land_outside_are_refused_before_anything_is_written(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(packed({"Toy/01/t000.tif": b"1", name: b"2"}, ""))
    with pytest.raises(InputError, match="outside of its folder"):
        fetch_data(Archive(tmp_path / "data/Toy", str(tmp_path / "a.zip")))
    assert there(tmp_path).keys() == {"a.zip"}


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("Toy/01")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(InputError, match="outside of its folder"):
        fetch_data(Archive(tmp_path / "Toy", str(tmp_path / "a.zip")))


def test_the_command_takes_a_name_or_a_folder_from_the_configuration(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    entry = {"folder": "Toy", "voxel_size_um": [0.5, 0.5], "archive": server.address, "archive_sha256": DIGEST}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"datasets": {"toy": entry}}))
    assert main(["download", "Toy"]) == 0 and there(tmp_path / "data/Toy") == FILES
    assert main(["download", "toy"]) == 0 and "is there already" in capsys.readouterr().err
    assert main(["download", "Tox"]) == 1 and "one of toy (Toy)" in capsys.readouterr().err
    del entry["archive"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"datasets": {"toy": entry}, "data_root": "other"}))
    assert main(["download", "toy"]) == 1 and "It is not known where" in capsys.readouterr().err
    (tmp_path / "own.zip").write_bytes(CONTENT)
    assert main(["download", "toy", "--archive", "own.zip"]) == 0 and there(tmp_path / "other/Toy") == FILES
