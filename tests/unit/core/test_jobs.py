"""The frame of a job, run as a process of its own, as Snakemake runs it."""

import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cellcascade.config.settings import MaskDDPM
from cellcascade.core.jobs import bound
from cellcascade.data.recording import Recording

JOB = """
import sys
from types import SimpleNamespace
from cellcascade.core.jobs import run_job

def main(*, seed: int):
    {body}

snakemake = SimpleNamespace(
    rule="masks", params=dict(seed=7, version=3), input=dict(), output=dict(), log=["job.log"], threads=2,
    resources=dict({resources}), config=dict(on_cluster={on_cluster}, shared=dict(device={device!r})),
)
run_job(main, snakemake)
"""


def start(folder, body="pass", resources="", on_cluster=False, device="auto"):
    code = JOB.format(body=body, resources=resources, on_cluster=on_cluster, device=device)
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stderr=subprocess.PIPE, text=True)


def run(folder, **more):
    job = start(folder, **more)
    output = job.communicate(timeout=300)[1]
    return job.returncode, (folder / "job.log").read_text(), output


def described(inputs=None, outputs=None, **params):
    """A job as Snakemake describes it to a script."""
    shared = {"device": "cpu", "max_invalid_fraction": 0.25}
    parts = {"params": params, "input": inputs or {}, "output": outputs or {}}
    return SimpleNamespace(rule="toy", config={"shared": shared}, threads=2, **parts)


class Listed(list):
    """A list of a type of its own, as Snakemake's are."""


def test_what_a_rule_gives_is_bound_by_name_and_made_what_the_function_takes(tmp_path):
    def stage(
        *,
        recording: Recording,
        shards: list[Path],
        views: Path | None,
        store: Path,
        settings: MaskDDPM,
        cells: tuple[int, int],
        device: str,
        max_invalid_fraction: float,
        tries: int = 3,
    ): ...

    recording = Recording(tmp_path, "01", "ST", (1.0, 0.5), [1, 2], None)
    params = {"recording": {**asdict(recording), "folder": str(tmp_path)}, "settings": {"grid": 16}, "cells": [0, 5]}
    inputs = {"shards": Listed(["a.zip"]), "views": Listed(), "only_for_snakemake": "b.zip"}
    arguments = bound(stage, described(inputs, {"store": "out.zip"}, version=4, **params))
    assert arguments == {
        "recording": recording,
        "shards": [Path("a.zip")],
        "views": None,
        "store": Path("out.zip"),
        "settings": MaskDDPM(grid=16),
        "cells": (0, 5),
        "device": "cpu",
        "max_invalid_fraction": 0.25,
    }
    assert type(arguments["recording"]) is Recording and type(arguments["shards"]) is list


def test_a_rule_and_a_function_that_do_not_fit_together_are_a_fault():
    def stage(*, seed: int): ...

    with pytest.raises(TypeError, match="gives no seed"):
        bound(stage, described())
    with pytest.raises(TypeError, match=r"does not take: \['cells'\]"):
        bound(stage, described(seed=1, cells=(0, 5)))
    with pytest.raises(TypeError, match="rule toy gives a wrong seed"):
        bound(stage, described(seed="many"))


def test_the_log_says_with_what_a_job_ran(tmp_path):
    status, log, _ = run(tmp_path, body="block = bytearray(300_000_000)")
    assert status == 0 and "masks (cellcascade" in log and "stage version 3" in log and "seed 7" in log
    assert f"torch {torch.__version__.split('+')[0]}" in log and "snakemake 9." in log
    assert 300 < int(re.search(r"peak memory: (\d+) MB", log)[1]) < 600


def test_a_job_without_a_gpu_does_not_load_torch(tmp_path):
    assert run(tmp_path, body="assert 'torch' not in sys.modules")[0] == 0


without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")


@without_cuda
@pytest.mark.parametrize("resources", ["gpu=1", "gpu=0, gres='gpu:1'"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_on_a_cluster_a_job_that_asked_for_a_gpu_does_not_go_on_without(tmp_path, resources, device):
    status, log, output = run(tmp_path, body="print('began')", resources=resources, on_cluster=True, device=device)
    assert status == 1 and "asked for a GPU and sees none" in log and "device: cpu" in log
    assert "Traceback" not in output and "began" not in output


@without_cuda
@pytest.mark.parametrize(
    ("resources", "on_cluster", "device"), [("gpu=1", True, "cpu"), ("gpu=0", True, "auto"), ("gpu=1", False, "auto")]
)
def test_others_run_on_the_cpu(tmp_path, resources, on_cluster, device):
    assert run(tmp_path, resources=resources, on_cluster=on_cluster, device=device)[0] == 0


def test_a_cancelled_job_removes_what_it_had_not_finished(tmp_path):
    body = "from cellcascade.core.files import atomic_path; import time\n"
    body += (
        "    with atomic_path('out/big') as path: path.write_text('half'); print(1, file=sys.stderr); time.sleep(600)"
    )
    job = start(tmp_path, body=body)
    while job.stderr.readline().strip() != "1":
        assert job.poll() is None
    assert len(list((tmp_path / "out").iterdir())) == 1
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=60)
    assert job.returncode == 143 and not list((tmp_path / "out").iterdir())
    assert "SIGTERM" in (tmp_path / "job.log").read_text()
