"""What `make test` says of two pytest processes, and how it ends them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run
from tests.slurm.cluster import until
from tests.workflow.dry_run import REPOSITORY

PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert False\n"
SKIPS = "import pytest\n\n@pytest.mark.skip\ndef test_skips(): pass\n"
# A fixture that is cleaned up after an interrupt, and a test that only an interrupt ends.
WAITS = """
import os, pathlib, time, pytest

@pytest.fixture
def held():
    pathlib.Path(__file__).with_suffix(".held").write_text(str(os.getpid()))
    yield
    pathlib.Path(__file__).with_suffix(".released").touch()

def test_waits(held):
    time.sleep(600)
"""
SIDE_BY_SIDE = "import sys; from tests import run; run.PARTS = tuple((part,) for part in sys.argv[1:]); sys.exit(run.main([]))"


def start(folder: Path, *texts: str) -> subprocess.Popen:
    """Run files of tests side by side."""
    files = [folder / f"test_part_{number}.py" for number in range(len(texts))]
    for file, text in zip(files, texts):
        file.write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-c", SIDE_BY_SIDE, *map(str, files)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("texts", "closing", "status"),
    [
        ((PASSES, PASSES + SKIPS), "2 passed, 0 failed, 1 skipped", 0),
        ((PASSES, FAILS), "1 passed, 1 failed, 0 skipped", 1),
        ((PASSES, "import nothing_of_that_name\n"), "1 passed, 1 failed, 0 skipped", 1),
        ((PASSES, "import os; os._exit(9)\n"), "1 passed, 1 failed, 0 skipped", 1),
        (("", PASSES), "1 passed, 0 failed, 0 skipped", 0),
        (("", ""), "0 passed, 0 failed, 0 skipped", 1),
    ],
)
def test_both_outputs_come_whole_and_the_last_line_has_the_sums(tmp_path, texts, closing, status):
    process = start(tmp_path, *texts)
    output, _ = process.communicate(timeout=120)
    assert output.splitlines()[-1] == closing and process.returncode == status, output
    assert 0 < output.index("test_part_0.py") < output.index("test_part_1.py")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both_and_they_clean_up(tmp_path, number):
    process = start(tmp_path, WAITS, WAITS)
    parts = [tmp_path / f"test_part_{number}.held" for number in range(2)]
    until(lambda: all(part.exists() and part.read_text() for part in parts), "both parts are at work")
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 128 + number
    for part in parts:
        assert part.with_suffix(".released").exists() and not Path(f"/proc/{part.read_text()}").exists()


def test_words_that_are_no_closing_line_are_not_counted():
    output = b"7 passed\n== \x1b[31m1 failed\x1b[0m, 2 passed, 3 skipped, 4 deselected, 1 error in 3.20s (0:00:03) ==\n"
    assert run.counts(output, 1) == {"passed": 2, "failed": 2, "skipped": 3}
