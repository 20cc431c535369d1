"""Which GPU a job takes. The devices are names here; the processes, their locks and their deaths are real."""

import os
import re
import subprocess
import sys

import pytest

from cellcascade.core import gpus
from cellcascade.core.errors import InputError
from tests.workflow.dry_run import REPOSITORY

JOB = (
    "import os, sys; from cellcascade.core.gpus import take_free_gpu\n"
    "take_free_gpu(); print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)\n"
    "sys.stdin.read()\n"
)
SMI = "#!/bin/sh\necho GPU-aa\necho GPU-bb\n"


class Jobs:
    """Processes that take a GPU and keep it."""

    def __init__(self, folder, devices):
        self.environment = {**os.environ, "TMPDIR": str(folder)}
        self.environment.pop("CUDA_VISIBLE_DEVICES", None)
        if devices is not None:
            self.environment["CUDA_VISIBLE_DEVICES"] = devices
        self.running = []

    def start(self, count):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        new = [subprocess.Popen([sys.executable, "-c", JOB], env=self.environment, **pipes) for _ in range(count)]
        self.running += new
        return [(job, job.stdout.readline().strip()) for job in new]

    def devices(self, count):
        return sorted(device for _, device in self.start(count))


@pytest.fixture
def jobs(tmp_path):
    made = []

    def make(devices):
        made.append(Jobs(tmp_path, devices))
        return made[-1]

    yield make
    for job in (job for item in made for job in item.running):
        job.communicate("", timeout=60)


def test_jobs_that_start_at_once_take_different_devices(jobs):
    assert jobs("0,1,2,3").devices(4) == ["0", "1", "2", "3"]


def test_a_killed_job_gives_its_device_back_and_a_living_one_does_not(jobs):
    two = jobs("4,7")
    started = dict((device, job) for job, device in two.start(2))
    started["7"].kill()
    started["7"].wait(60)
    assert two.devices(1) == ["7"]


def test_more_jobs_than_devices_are_spread_evenly(jobs):
    assert jobs("0,1").devices(5) in (["0", "0", "0", "1", "1"], ["0", "0", "1", "1", "1"])


@pytest.mark.parametrize("devices", ["", "3", "GPU-cc"])
def test_one_device_or_none_is_left_as_it_is(jobs, tmp_path, devices):
    assert jobs(devices).devices(2) == [devices, devices]
    assert not list(tmp_path.glob("cellcascade-gpus-*"))


def test_without_a_list_all_gpus_of_the_machine_are_shared_out(jobs, tmp_path):
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    all_gpus = jobs(None)
    all_gpus.environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    assert all_gpus.devices(2) == ["GPU-aa", "GPU-bb"]


def test_a_machine_without_gpus_has_none(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.visible_gpus() == []


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="a GPU is there")
def test_a_gpu_that_is_required_and_missing_is_told_with_what_the_cluster_gave(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InputError, match="asked for a GPU and sees none") as caught:
        gpus.require_gpu()
    assert "SLURM_JOB_ID=17" in caught.value.found and "CUDA_VISIBLE_DEVICES=0" in caught.value.found


def test_no_module_starts_cuda_before_its_job_has_a_gpu():
    rules = "".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))
    scripts = [re.search(r"scripts/(\w+)\.py", text)[1] for text in rules.split("\nrule ") if "gpu=1" in text]
    assert len(scripts) == 13
    code = (
        "import os, sys, torch\n"
        "def refuse(*_): raise RuntimeError('CUDA was started while importing')\n"
        "torch.cuda.device_count = torch.cuda.init = refuse\n"
        "torch.cuda.is_available = lambda: False if os.environ['PYTORCH_NVML_BASED_CUDA_CHECK'] == '1' else refuse()\n"
        "sys.path.insert(0, 'scripts')\n"
        f"for name in {scripts}: __import__(name)\n"
    )
    # The Snakefile sets this for its jobs: PyTorch then asks NVML, and not the driver, whether there is a GPU.
    assert 'os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")' in (REPOSITORY / "Snakefile").read_text()
    environment = {**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert done.returncode == 0, done.stderr
