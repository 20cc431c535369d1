"""A private cluster, and the cascade in 2D run once on it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing, until
from tests.workflow.dry_run import REPOSITORY, Project

TARGET = "results/nuclei2d/synthetic"
CONFIGS = ("--configfile", "demo/config.yaml", "tiny.yaml", "slurm-tiny.yaml")
# The profile's waits, like those of the plugin, are those of a busy cluster.
HEAD = (sys.executable, str(Path(__file__).with_name("head.py")))
OPTIONS = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10")
OPTIONS += CONFIGS

HEADS: list[subprocess.Popen] = []  # those that a failed test leaves running are ended with the cluster


def hear_interrupts() -> None:
    """Tests that a shell started in the background hand on that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Run(Project):
    """A project whose jobs go to the cluster; its head process is started and ended by the test."""

    def __init__(self, folder: Path, cluster: Cluster):
        super().__init__(folder)
        (folder / "tiny.yaml").symlink_to(REPOSITORY / "tests/e2e/tiny.yaml")
        (folder / "slurm-tiny.yaml").symlink_to(REPOSITORY / "tests/slurm/tiny.yaml")
        self.cluster, self.heads, self.devices = cluster, 0, []

    def start(self, *targets: str, options: tuple[str, ...] = ()) -> subprocess.Popen:
        """Start the head process; what it says goes to a file."""
        self.heads += 1
        command = [*HEAD, *targets, *OPTIONS, *options]
        environment = self.environment | self.cluster.environment
        with open(self.folder / f"head-{self.heads}.log", "wb") as log:
            head = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=hear_interrupts,
            )
        HEADS.append(head)
        return head

    def interrupt(self, head: subprocess.Popen) -> None:
        """Press Ctrl-C once the head is at rest: while Snakemake asks for the states of jobs, it would cancel none."""

        def at_rest() -> bool:
            tasks = Path(f"/proc/{head.pid}/task")
            return not any(children.read_text().strip() for children in tasks.glob("*/children"))

        until(lambda: at_rest() and not time.sleep(1) and at_rest(), "the head is at rest", seconds=600)
        head.send_signal(signal.SIGINT)

    def finish(self, head: subprocess.Popen, fails: bool = False) -> str:
        """Wait for the head process; gives what it said."""
        head.wait(3000)
        output = (self.folder / f"head-{self.heads}.log").read_text()
        assert (head.returncode != 0) == fails, output + self.logs()
        return output

    def run(self, *targets: str, options: tuple[str, ...] = (), fails: bool = False) -> str:
        return self.finish(self.start(*targets, options=options), fails)

    def logs(self) -> str:
        """All log files of jobs."""
        texts = []
        for path in sorted((self.folder / "logs").rglob("*.log")):
            with contextlib.suppress(FileNotFoundError):  # a job that starts again begins its file anew
                texts.append(f"\n--- {path.relative_to(self.folder)}\n{path.read_text(errors='replace')}")
        return "".join(texts)

    def jobs(self, rule: str = "") -> list[dict[str, str]]:
        """The cluster's jobs of this project so far, or those of one rule, oldest first."""
        found = self.cluster.jobs(self.folder)
        return [job for job in found if not rule or job.get("Comment", "").removeprefix("rule_").startswith(rule)]

    def note_devices(self) -> None:
        """Keep the numbers of the GPUs that jobs have at this moment; SLURM forgets them when a job ends."""
        running = [job for job in self.jobs() if job["JobState"] == "RUNNING"]
        self.devices += [[job["GRES"][-2] for job in running if "IDX" in job["GRES"]]]

    def at_work(self, rule: str, sign: Callable[[], object]) -> dict[str, str]:
        """Wait until a sign of a rule's job can be seen while it runs; gives the job."""
        until(sign, f"a sign of {rule}\n{self.logs()}", seconds=1800)
        (job,) = [job for job in self.jobs(rule) if job["JobState"] == "RUNNING"]
        return job

    def ended(self, job: dict[str, str]) -> dict[str, str]:
        """Wait until a job has left the cluster; gives its last state."""

        def now():
            (found,) = [other for other in self.jobs() if other["JobId"] == job["JobId"]]
            return found["JobState"] not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED") and found

        return until(now, f"job {job['JobId']} ends", seconds=1800)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster, up for all tests."""
    if absent := missing():
        pytest.skip(f"no SLURM here: {', '.join(absent)} not found (Debian: slurmctld slurmd slurm-client munge)")
    # Not in pytest's own folder: munge wants a path that every user may enter, and sockets a short one.
    with tempfile.TemporaryDirectory(prefix="cellcascade-slurm-") as name:
        Path(name).chmod(0o755)
        with Cluster(Path(name)) as running:
            yield running
            for head in HEADS:
                if head.poll() is None:
                    os.killpg(head.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def cascade(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A project whose images were made on the cluster."""
    project = Run(tmp_path_factory.mktemp("cascade"), cluster)
    head = project.start(TARGET)
    while head.poll() is None:
        project.note_devices()
        time.sleep(0.5)
    project.finish(head)
    return project


@pytest.fixture
def project(cascade: Run, tmp_path: Path) -> Run:
    """A project that has its crops, and nothing else yet."""
    return with_crops(cascade, tmp_path)


def with_crops(cascade: Run, folder: Path) -> Run:
    """Make a project that has the crops of the cascade, and what the check before them wrote."""
    run = Run(folder, cascade.cluster)
    results = cascade.folder / "results"
    for path in (*results.glob("*/check/findings.csv"), *results.glob("*/crops*")):
        copy = folder / path.relative_to(cascade.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    return run
