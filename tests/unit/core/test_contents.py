"""Digests of what files hold: kept between runs, noticed when something changed, whatever the dates say."""

import os
from pathlib import Path

import pytest

from cellcascade.core.contents import PART, WHOLE, digests_of_contents
from cellcascade.core.errors import InputError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, content: bytes, date: float = 1e9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (date, date))
    return path


def test_contents_count_not_dates_nor_places(tmp_path, cache):
    one = write(tmp_path / "a/t0.tif", b"one")
    before = digests_of_contents([one])[one]
    os.utime(one)
    moved = write(tmp_path / "b/t7.tif", b"one", date=2e9)
    assert digests_of_contents([one, moved]) == {one: before, moved: before}


def test_a_corrected_file_of_the_same_size_and_an_older_date_is_noticed(tmp_path, cache):
    path = write(tmp_path / "t0.tif", b"wrong")
    before = digests_of_contents([path])
    new = write(tmp_path / "new", b"right", date=1e8)
    os.replace(new, path)
    assert digests_of_contents([path]) != before


def test_a_file_is_read_again_only_if_it_changed(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "t0.tif", b"one")
    before = digests_of_contents([path])
    monkeypatch.setattr("cellcascade.core.contents._read", None)
    assert digests_of_contents([path]) == before


def test_a_damaged_or_unwritable_cache_costs_time_alone(tmp_path, cache):
    path = write(tmp_path / "t0.tif", b"one")
    before = digests_of_contents([path])
    for kept in cache.rglob("*.json"):
        kept.write_text("{")
    assert digests_of_contents([path]) == before
    (tmp_path / "no_folder").touch()
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "no_folder")
    assert digests_of_contents([path]) == before


def test_of_a_large_file_the_size_and_parts_count(tmp_path, cache):
    path = tmp_path / "large.tif"
    with path.open("wb") as file:
        file.truncate(WHOLE + 5)
    before = digests_of_contents([path])[path]
    with path.open("r+b") as file:
        file.seek(-PART // 2, os.SEEK_END)
        file.write(b"changed")
    changed = digests_of_contents([path])[path]
    with path.open("r+b") as file:
        file.truncate(WHOLE + 6)
    assert len({before, changed, digests_of_contents([path])[path]}) == 3


def test_a_folder_is_what_lies_in_it(tmp_path, cache):
    folder = tmp_path / "a.zarr"
    write(folder / "0/c/0", b"one")
    write(folder / "zarr.json", b"{}")
    before = digests_of_contents([folder])[folder]
    write(folder / "0/c/0", b"two", date=1e8)
    assert digests_of_contents([folder])[folder] != before


def test_a_missing_file_is_named(tmp_path, cache):
    with pytest.raises(InputError, match="A file cannot be read") as caught:
        digests_of_contents([tmp_path / "t0.tif"])
    assert caught.value.where.endswith("t0.tif")
