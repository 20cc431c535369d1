"""Tests in processes side by side: all of them, or with `--check` the unit tests beside style and types.

    tests/run.py                        the cluster, the whole cascade, the workflow, and the rest
    tests/run.py --check                style, types, and unit tests with their coverage
    tests/run.py tests/unit -k masks    one pytest with these arguments

What the first process writes is shown as it comes, and what the others wrote after it. The last line holds the sums of
all; the exit status is zero if none failed. A new folder of tests belongs to the rest without a word here.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NamedTuple

REPOSITORY = Path(__file__).parents[1]
OWN = ("tests/slurm", "tests/e2e", "tests/workflow")  # folders with a process of their own
# Two thirds of the time of the unit tests; the other third goes with style and types.
LONG = ("tests/unit/core", "tests/unit/diffusion", "tests/unit/reconstruction", "tests/unit/report")

OUTCOMES = ("passed", "failed", "skipped")
CLOSING = re.compile(rb"^[=\s]*((?:no tests ran|\d+ \w+)(?:, \d+ \w+)*) in [\d.]+s", re.MULTILINE)
NO_TESTS = 5  # pytest's exit status
GRACE = 60.0  # seconds in which an interrupted pytest ends the cluster and the runs that it has started


class Part(NamedTuple):
    """Commands that one process runs after each other, whether or not one fails."""

    name: str
    commands: Sequence[Sequence[str]]


def pytest(*arguments: str) -> list[str]:
    """The command that runs pytest; CI sees what the time went to."""
    return [sys.executable, "-m", "pytest", *(["--durations=25"] if os.environ.get("CI") else []), *arguments]


def side_by_side(*arguments: str) -> list[str]:
    """A pytest beside another: neither keeps a record of what failed last, as both would write the same."""
    return pytest("-p", "no:cacheprovider", *(["--color=yes"] if sys.stdout.isatty() else []), *arguments)


def apart(folder: str, *parts: Sequence[str]) -> list[tuple[str, ...]]:
    """The tests of a folder in parts: these, and the rest."""
    return [*(tuple(part) for part in parts), (folder, *(f"--ignore={other}" for part in parts for other in part))]


def all_tests() -> list[Part]:
    """The tests of the cluster, of the cascade, of the workflow, and the rest; many of them wait."""
    parts = apart("tests", *((folder,) for folder in OWN))
    return [Part(f"tests of {folders[0]}", [side_by_side(*folders)]) for folders in parts]


def check() -> list[Part]:
    """The rooms whose tests take long; style, types and the other unit tests."""
    long, rest = (side_by_side("--cov", "--cov-report=", *folders) for folders in apart("tests/unit", LONG))
    return [
        Part("unit tests that take long", [long]),
        Part("style, types and other unit tests", [["make", "-s", "lint", "types"], rest]),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run the tests; gives the exit status."""
    os.chdir(REPOSITORY)
    if arguments and arguments[0] != "--check":
        command = pytest(*arguments)
        os.execv(command[0], command)
    with tempfile.TemporaryDirectory(prefix="cellcascade-tests-") as folder:
        status = run(check() if arguments else all_tests(), Path(folder))
    return status


def run(parts: Sequence[Part], folder: Path) -> int:
    """Run the parts side by side; gives 1 if one failed or nothing was tested, else 0."""
    logs = [folder / f"{number}.log" for number in range(len(parts))]
    with ended_together() as processes:
        for part, log in zip(parts, logs):
            processes.append(start(part, log))
        for process, log, part in zip(processes, logs, parts):
            print(f"\n--- {part.name}", flush=True)
            follow(process, log)
    report_coverage(folder)
    sums = dict.fromkeys(OUTCOMES, 0)
    for process, log in zip(processes, logs):
        for outcome, count in counts(log.read_bytes(), process.returncode).items():
            sums[outcome] += count
    print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in sums.items()))
    return int(sums["failed"] > 0 or not sums["passed"])


def start(part: Part, log: Path) -> subprocess.Popen[bytes]:
    """Start a part with one thread, all its output in a file, in a group of processes of its own.

    Each pytest takes a temporary folder of its own: they are numbered.
    """
    script = "; ".join(
        ["status=0", *(f"{shlex.join(command)} || status=$?" for command in part.commands), "exit $status"]
    )
    with log.open("wb") as output:
        return subprocess.Popen(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COVERAGE_FILE": str(log.with_suffix(".coverage"))},
            start_new_session=True,
        )


def report_coverage(folder: Path) -> None:
    """Print the coverage of all parts together, if they have measured it."""
    if measured := [str(path) for path in sorted(folder.glob("*.coverage"))]:
        for command in (["combine", "--quiet", *measured], ["report"]):
            subprocess.run([sys.executable, "-m", "coverage", *command], check=False)


@contextmanager
def ended_together() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Started processes; Ctrl-C and kill reach all of them, and their children, once."""
    processes: list[subprocess.Popen[bytes]] = []

    def end(number: int, _: FrameType | None) -> None:
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        yield processes
    finally:
        running = [process for process in processes if process.poll() is None]
        for process in running:
            os.killpg(process.pid, signal.SIGINT)
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def follow(process: subprocess.Popen[bytes], log: Path) -> None:
    """Copy what a process writes to standard output until it has ended."""
    with log.open("rb") as output:
        while process.poll() is None:
            copy(output)
            time.sleep(0.2)
        copy(output)


def copy(output: BinaryIO) -> None:
    """Write what is new in a file to standard output."""
    sys.stdout.buffer.write(output.read())
    sys.stdout.buffer.flush()


def counts(output: bytes, status: int) -> dict[str, int]:
    """Numbers of tests by outcome, from pytest's closing line; an error is a failure, and so is an end without one."""
    found = dict.fromkeys(OUTCOMES, 0)
    closing = CLOSING.findall(re.sub(rb"\x1b\[[\d;]*m", b"", output))
    for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", closing[-1].decode() if closing else ""):
        found["failed" if word == "error" else word] += int(number)
    if status not in (0, NO_TESTS):
        found["failed"] = max(1, found["failed"])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
