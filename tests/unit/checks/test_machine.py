"""This machine beside what a run asks for: device, memory, disk, the commands of a cluster."""

from dataclasses import replace

import pytest

from cellcascade.checks.machine import disk_needed, machine_findings
from cellcascade.checks.plan import Stage
from cellcascade.config.datasets import Config
from cellcascade.config.load import load_config
from cellcascade.core.errors import InputError
from cellcascade.core.machine import Machine
from cellcascade.core.scheduler import COMMANDS, absent

LARGE = Machine(cores=8, memory=64 * 10**9, free=10**12, gpus=("GPU-1",))
DATA = {"folder": "A", "voxel_size_um": [0.5, 0.5]}


def config(**keys) -> Config:
    return load_config({"datasets": {"A": DATA}, **keys})


def found(machine: Machine = LARGE, *, needed: float = 0, stages=(), profile=None, **keys) -> dict[str, str]:
    findings = machine_findings(machine, config(**keys), needed=needed, stages=stages, profile=profile)
    return {finding.code: finding.found for finding in findings}


def test_a_machine_that_has_all_has_no_finding():
    assert found(needed=1e9, stages=[Stage("textures", 3, 10_000, 60)]) == {}


def test_a_missing_gpu_matters_if_the_configuration_asks_for_one():
    without = replace(LARGE, gpus=())
    assert found(without) == {"no_gpu": "no GPU, and trainings for one: A 2000 steps of textures"}
    assert found(without, device="cuda").keys() == {"gpu_missing"}
    assert found(without, defaults={"texture": {"tuning": {"steps": 200}}}) == {}, "settings for a CPU need no cure"
    scratch = {"texture": {"base": "scratch", "train": {"steps": 5000}}}
    assert "A 5000 steps" in found(without, device="cpu", defaults=scratch)["no_gpu"]


def test_memory_and_disk_are_compared_with_what_is_asked_for():
    small = replace(LARGE, memory=8 * 10**9, free=10**9)
    said = found(small, needed=5e9, stages=[Stage("textures", 1, 10_000, 5), Stage("crops", 1, 4_000, 5)])
    assert said["memory"] == "textures 10 GB; there are 8 GB"
    assert said["disk"] == "about 5 GB needed, 1 GB free"


def test_disk_grows_with_images_and_their_voxels():
    data = config().datasets["A"]
    few = data.model_copy(update={"images": 10})
    flat, deep, dim = (disk_needed(few, *given) for given in (((100, 100), 1), ((9, 100, 100), 1), ((100, 100), 2)))
    assert flat < dim < deep and deep - flat == pytest.approx(10 * 8 * 100 * 100)
    assert disk_needed(data, (1000, 1000), 1) > 100 * 1e7


def test_the_commands_of_a_cluster_are_looked_for(tmp_path, monkeypatch):
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/config.yaml").write_text("executor: slurm\njobs: 3\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found(profile=tmp_path / "slurm") == {"no_scheduler": "not found on PATH: sbatch, squeue, scancel"}
    for command in COMMANDS["slurm"]:
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    assert found(profile=tmp_path / "slurm") == {} and absent("slurm") == []
    assert absent("local") == []


@pytest.mark.parametrize("text", [None, "executor: [", "3"])
def test_a_profile_that_is_none_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="The profile cannot be read") as caught:
        found(profile=tmp_path)
    assert caught.value.where.endswith("config.yaml")
