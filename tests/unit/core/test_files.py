"""Files that are written whole or not at all, whatever happens meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [item.name for item in tmp_path.iterdir()] == ["table.csv"]


def test_nothing_is_left_of_a_failed_write_though_other_threads_still_write(tmp_path):
    def write_on(folder):
        for number in range(100):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(number)).write_text("late")
            time.sleep(0.005)

    with pytest.raises(RuntimeError), atomic_path(tmp_path / "store") as scratch:
        late = threading.Thread(target=write_on, args=(scratch / "array",))
        late.start()
        time.sleep(0.05)
        raise RuntimeError
    late.join()
    assert not list(tmp_path.iterdir())


def test_a_killed_job_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "table.csv"
    code = (
        "import os, signal, sys; from cellcascade.core.files import atomic_path\n"
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
        "import sys; from cellcascade.core.files import atomic_path\n"
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
