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
SIDE_BY_SIDE = """
import sys
from tests import run

run.all_tests = lambda: [run.Part(file, [run.side_by_side(file)]) for file in sys.argv[1:]]
sys.exit(run.main([]))
"""


def start(folder: Path, *texts: str) -> subprocess.Popen:
    """Run files of tests side by side."""
    files = [folder / f"test_part_{number}.py" for number in range(len(texts))]
    for file, text in zip(files, texts):
        file.write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a start in half the time
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
        (("", PASSES), "1 passed, 0 failed, 0 skipped", 0),
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


@pytest.mark.parametrize(
    ("output", "status", "expected"),
    [
        (
            "7 passed\n== \x1b[31m1 failed\x1b[0m, 2 passed, 3 skipped, 4 deselected, 1 error in 63.20s (0:01:03) ==",
            1,
            (2, 2, 3),
        ),
        ("5 passed, 1 xfailed, 1 warning in 3.20s", 0, (5, 0, 0)),
        ("5 passed in 3.20s", 1, (5, 1, 0)),  # a command beside the tests has failed
        ("== no tests ran in 0.01s ==", run.NO_TESTS, (0, 0, 0)),
        ("Segmentation fault", -11, (0, 1, 0)),
    ],
)
def test_outcomes_are_those_of_the_closing_line(output, status, expected):
    assert run.counts(f"{output}\n".encode(), status) == dict(zip(run.OUTCOMES, expected))


@pytest.mark.parametrize(("folder", "parts"), [("tests", [(own,) for own in run.OWN]), ("tests/unit", [run.LONG])])
def test_the_parts_have_no_folder_in_common_and_leave_none_out(folder, parts):
    *chosen, rest = run.apart(folder, *parts)
    others = [other for part in parts for other in part]
    assert all((REPOSITORY / other).is_dir() and other.startswith(f"{folder}/") for other in others)
    assert chosen == parts and rest[0] == folder and [option.split("=")[1] for option in rest[1:]] == others
