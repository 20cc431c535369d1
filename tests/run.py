"""All tests in two pytest processes side by side; with arguments, one pytest with these arguments.

One process runs the tests that mostly wait, for SLURM and for the jobs of a whole cascade; the other all the rest,
folders that are new among them. What the first writes is shown as it comes, what the second wrote after it. The last line
holds the sums of both, and the exit status is zero if neither failed.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

REPOSITORY = Path(__file__).parents[1]
WAITING = ("tests/slurm", "tests/e2e")
PARTS = (WAITING, ("tests", *(f"--ignore={folder}" for folder in WAITING)))

OUTCOMES = ("passed", "failed", "skipped")
CLOSING = re.compile(rb"^[=\s]*((?:no tests ran|\d+ \w+)(?:, \d+ \w+)*) in [\d.]+s", re.MULTILINE)
NO_TESTS = 5  # pytest's exit status
GRACE = 60.0  # seconds in which an interrupted pytest ends the cluster and the runs that it has started


def main(arguments: Sequence[str]) -> int:
    """Run the tests; gives the exit status."""
    os.chdir(REPOSITORY)
    options = ["--durations=25"] if os.environ.get("CI") else []
    if arguments:
        command = pytest(*options, *arguments)
        os.execv(command[0], command)
    with tempfile.TemporaryDirectory(prefix="cellcascade-tests-") as folder:
        logs = [Path(folder) / str(number) for number in range(len(PARTS))]
        with ended_together() as processes:
            for part, log in zip(PARTS, logs):
                processes.append(start(pytest(*options, *part), log))
            for process, log, part in zip(processes, logs, PARTS):
                print(f"\n--- {part[0]}", flush=True)
                follow(process, log)
        sums = dict.fromkeys(OUTCOMES, 0)
        for process, log in zip(processes, logs):
            for outcome, count in counts(log.read_bytes(), process.returncode).items():
                sums[outcome] += count
    print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in sums.items()))
    return int(sums["failed"] > 0 or not sums["passed"])


def pytest(*arguments: str) -> list[str]:
    """The command that runs pytest."""
    return [sys.executable, "-m", "pytest", *arguments]


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a pytest with one thread, all its output in a file, in a group of processes of its own.

    Each takes a temporary folder of its own: pytest's have numbers. Neither keeps a record of what failed last, as both
    would write the same.
    """
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "-p", "no:cacheprovider", *colour],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


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
    """Numbers of tests by outcome, from pytest's closing line; an error, and an end without such a line, is a failure."""
    found = dict.fromkeys(OUTCOMES, 0)
    closing = CLOSING.findall(re.sub(rb"\x1b\[[\d;]*m", b"", output))
    for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", closing[-1].decode() if closing else ""):
        found["failed" if word == "error" else word] += int(number)
    if status not in (0, NO_TESTS):
        found["failed"] = max(1, found["failed"])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
