"""The frame of a job, run as a process of its own, as Snakemake runs it."""

import re
import signal
import subprocess
import sys

import pytest
import torch

JOB = """
import sys
from types import SimpleNamespace
from cellcascade.jobs import run_job

def main(inputs, outputs, *, seed, **device):
    {body}

snakemake = SimpleNamespace(
    rule="masks", params=dict(seed=7, version=3), input=[], output=[], log=["job.log"], threads=2,
    resources=dict({resources}), config=dict(on_cluster={on_cluster}),
)
run_job(main, snakemake, {more})
"""


def start(folder, body="pass", resources="", on_cluster=False, more=""):
    code = JOB.format(body=body, resources=resources, on_cluster=on_cluster, more=more)
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stderr=subprocess.PIPE, text=True)


def run(folder, **more):
    job = start(folder, **more)
    output = job.communicate(timeout=300)[1]
    return job.returncode, (folder / "job.log").read_text(), output


def test_the_log_says_with_what_a_job_ran(tmp_path):
    status, log, _ = run(tmp_path, body="block = bytearray(300_000_000)")
    assert status == 0 and "masks (cellcascade" in log and "stage version 3" in log and "seed 7" in log
    assert f"torch {torch.__version__.split('+')[0]}" in log and "snakemake 9." in log
    assert 300 < int(re.search(r"peak memory: (\d+) MB", log)[1]) < 600


def test_a_job_without_a_gpu_does_not_load_torch(tmp_path):
    assert run(tmp_path, body="assert 'torch' not in sys.modules", more="device='auto'")[0] == 0


without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")


@without_cuda
@pytest.mark.parametrize("resources", ["gpu=1", "gpu=0, gres='gpu:1'"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_on_a_cluster_a_job_that_asked_for_a_gpu_does_not_go_on_without(tmp_path, resources, device):
    status, log, output = run(
        tmp_path, body="print('began')", resources=resources, on_cluster=True, more=f"device={device!r}"
    )
    assert status == 1 and "asked for a GPU and sees none" in log and "device: cpu" in log
    assert "Traceback" not in output and "began" not in output


@without_cuda
@pytest.mark.parametrize(
    ("resources", "on_cluster", "device"), [("gpu=1", True, "cpu"), ("gpu=0", True, "auto"), ("gpu=1", False, "auto")]
)
def test_others_run_on_the_cpu(tmp_path, resources, on_cluster, device):
    assert run(tmp_path, resources=resources, on_cluster=on_cluster, more=f"device={device!r}")[0] == 0


def test_a_cancelled_job_removes_what_it_had_not_finished(tmp_path):
    body = "from cellcascade.data.shards import atomic_path; import time\n"
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
