"""The machine that a benchmark runs on, and what a process takes of it. Imports nothing that takes memory.

Linux counts the memory of the process that starts another one towards that one's peak: who measures must be small.
"""

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LOOKS = 0.05  # seconds between looks at the memory of a process with children


class Usage(NamedTuple):
    """What a process and its children took: seconds, seconds on processors, peak memory in MB."""

    seconds: float
    processor: float
    peak_mb: float


def processor() -> str:
    """Name of the processor, and how many cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def watch(command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command and measure it.

    The peak is that of the largest process, or of all of them at one time where there are several.

    Args:
        command: The command.
        folder: Where it runs.
        log: File for all that it writes.
        environment: Variables beside those of this process.

    Raises:
        RuntimeError: It failed; with the end of what it wrote.
    """
    began, together = time.perf_counter(), 0.0
    with log.open("wb") as output:
        given = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, cwd=folder, env=given, stdout=output, stderr=output)
        try:
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
                together = max(together, _memory_together(process.pid))
                time.sleep(LOOKS)
        except BaseException:
            process.kill()
            raise
    _, status, used = ended
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    return Usage(seconds, used.ru_utime + used.ru_stime, max(used.ru_maxrss / 1024, together))


def _memory_together(pid: int) -> float:
    """Memory of a process with its children, what they share counted once, MB; 0 without children."""
    family = [pid, *_descendants(pid)]
    if len(family) == 1:
        return 0.0
    kilobytes = 0
    for member in family:
        try:
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{member}/smaps_rollup").read_text(), re.MULTILINE)
            kilobytes += int(found[1]) if found else 0
        except OSError:  # it has just ended
            continue
    return kilobytes / 1024


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = [int(number) for number in children.read_text().split()]
        except OSError:  # the thread has just ended
            continue
        for child in found:
            yield child
            yield from _descendants(child)
