"""This machine, as it describes itself; GPUs as a driver of the machine lists them."""

from pathlib import Path

import pytest

from cellcascade.core.machine import Machine, this_machine


def test_this_machine_is_described():
    machine = this_machine(Path("not there/yet"))
    assert machine.cores >= 1 and machine.memory > 10**8 and machine.free > 0 and "cores" in machine.text


@pytest.mark.parametrize("visible, said", [(None, "2 GPUs of 8.59 GB"), ("1", "1 GPU of 8.59 GB"), ("", "no GPU")])
def test_gpus_are_those_that_this_process_may_use(tmp_path, monkeypatch, visible, said):
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\ncase "$1" in *uuid*) echo GPU-1; echo GPU-2;; *) echo 24576; echo 8192;; esac\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine = this_machine(tmp_path)
    assert machine.device == said and machine.has_gpu == bool(machine.gpus)


def test_a_driver_that_does_not_say_how_large_its_gpus_are():
    assert Machine(1, 1, 1, ("0",)).device == "1 GPU"
