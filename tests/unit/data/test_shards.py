import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, digest
from cellcascade.data.shards import open_shard, shard_name, shard_ranges, write_shard


@pytest.mark.parametrize(
    "total, size, expected", [(60, 25, [(0, 25), (25, 50), (50, 60)]), (50, 25, [(0, 25), (25, 50)])]
)
def test_ranges_cover_all_items_once(total, size, expected):
    assert shard_ranges(total, size) == expected


def test_growing_keeps_the_full_ranges():
    assert shard_ranges(1000, 25)[: 40 // 25] == shard_ranges(40, 25)[: 40 // 25]


def test_names_sort_as_numbers():
    names = [shard_name(index) for index in (0, 7, 10, 999)]
    assert names == sorted(names) and names[0] == "000"


def write(path, **more):
    arrays = {"mask": np.arange(24, dtype=np.uint8).reshape(3, 2, 4), "cell_id": np.array([4, 5, 6])}
    write_shard(path, schema="masks/1", arrays=arrays, attributes={"dataset": "A"}, **more)
    return arrays


def test_arrays_and_attributes_come_back(tmp_path):
    path = tmp_path / "deep/shard-000.zarr.zip"
    arrays = write(path, items_per_chunk=2)
    store = open_shard(path, "masks/1")
    for name, array in arrays.items():
        assert store[name].dtype == array.dtype
        np.testing.assert_array_equal(store[name][:], array)
    assert store.attrs["dataset"] == "A" and store["mask"].chunks == (2, 2, 4)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_equal_content_gives_equal_bytes(tmp_path):
    write(tmp_path / "a.zarr.zip")
    write(tmp_path / "b.zarr.zip")
    assert digest(tmp_path / "a.zarr.zip") == digest(tmp_path / "b.zarr.zip")


def test_empty_arrays_can_be_written(tmp_path):
    write_shard(tmp_path / "e.zarr.zip", schema="x/1", arrays={"a": np.zeros((0, 3)), "b": np.zeros(0)})
    assert open_shard(tmp_path / "e.zarr.zip", "x/1")["a"].shape == (0, 3)


@pytest.mark.parametrize("content", [None, b"", b"no zip", "cut"])
def test_what_is_no_shard_is_named(tmp_path, content):
    path = tmp_path / "s.zarr.zip"
    if content == "cut":
        write(path)
        path.write_bytes(path.read_bytes()[:-40])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="s.zarr.zip") as caught:
        open_shard(path, "masks/1")
    assert "delete" in caught.value.fix


def test_another_schema_is_named(tmp_path):
    write(tmp_path / "s.zarr.zip")
    with pytest.raises(InputError, match="masks/1") as caught:
        open_shard(tmp_path / "s.zarr.zip", "volumes/1")
    assert "volumes/1" in caught.value.expected


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [item.name for item in tmp_path.iterdir()] == ["table.csv"]


def test_a_killed_job_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "table.csv"
    code = (
        "import os, signal, sys; from cellcascade.data.shards import atomic_path\n"
        "with atomic_path(sys.argv[1]) as scratch:\n"
        "    scratch.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ)
    assert done.returncode == -signal.SIGKILL and not path.exists()


def test_a_file_that_is_there_already_keeps_its_date(tmp_path):
    for text, date in (("old", None), ("old", 1_000_000_000), ("new", None)):
        if date:
            os.utime(tmp_path / "a.csv", (date, date))
        with atomic_path(tmp_path / "a.csv") as scratch:
            scratch.write_text(text)
        assert (tmp_path / "a.csv").read_text() == text
        assert ((tmp_path / "a.csv").stat().st_mtime == date) == bool(date)
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("first", "second"):
        with atomic_path(tmp_path / "images") as scratch:
            scratch.mkdir()
            (scratch / name).write_text(name)
    assert [str(item.relative_to(tmp_path)) for item in tmp_path.rglob("*")] == ["images", "images/second"]


def test_jobs_that_make_the_same_folder_at_once_leave_it_whole(tmp_path):
    code = (
        "import sys; from cellcascade.data.shards import atomic_path\n"
        "for turn in range(200):\n"
        "    with atomic_path(sys.argv[1]) as scratch:\n"
        "        scratch.mkdir(); (scratch / 'a').write_text('a'); (scratch / 'b').write_text('b')\n"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "images")]) for _ in range(3)]
    assert [job.wait(300) for job in jobs] == [0, 0, 0]
    assert sorted(str(item.relative_to(tmp_path)) for item in tmp_path.rglob("*")) == ["images", "images/a", "images/b"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    "write", [lambda file: file.write(b"x" * 100_000), lambda file: torch.save(torch.ones(9), file)]
)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, write):
    with pytest.raises(InputError, match="The disk is full") as caught, atomic_path(tmp_path / "t.bin") as scratch:
        scratch.write_bytes(b"half")
        with open("/dev/full", "wb") as file:
            write(file)
    assert caught.value.where == str(tmp_path / "t.bin") and not list(tmp_path.iterdir())
