"""The benchmark at the paper's scale: its tiny size, its frames, and how it measures."""

import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tests.workflow.dry_run import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
NETWORK = {"download_ctc", "texture_base", "cellpose_weights", "inception_weights"}
PARTS_OF_GPU_RULES = {"volumes", "train_cellpose", "predict_cellpose"}
NAMES = ("CE", "CHO", "HeLa")


@pytest.fixture
def module(monkeypatch):
    """Imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def rules_without_gpu() -> set[str]:
    text = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    blocks = re.split(r"^(?=rule |use rule )", text, flags=re.MULTILINE)
    named = {re.match(r"(?:use rule \w+ as|rule) (\w+)", block)[1]: block for block in blocks if "rule " in block[:9]}
    return {name for name, block in named.items() if "gpu=1" not in block} - NETWORK


def rows(lines: list[str]) -> list[dict[str, str]]:
    """A table of the output, as a document has it."""
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("|")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_tiny_size_measures_every_stage_without_gpu_beside_what_its_rule_asks_for(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "scale.py"), "--tiny", "--data", "CE", "--markdown"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    measured, whole = (rows(part.splitlines()) for part in done.stdout.split("At most"))
    by_rule = {row["stage"].split()[0]: row for row in measured}
    assert by_rule.keys() == rules_without_gpu() | PARTS_OF_GPU_RULES
    for row in measured:
        asked, used = map(int, row["memory asked / used, MB"].split(" / "))
        assert 50 < used < asked and float(row["time, s"]) > 0 and float(row["written, MB"]) >= 0, row
    assert (by_rule["crops"]["frames"], by_rule["crops"]["cells"], by_rule["population"]["images"]) == ("2", "10", "2")
    assert by_rule["crops"]["memory asked / used, MB"].startswith("4000 / ")
    counts = {row["stage"]: int(row["jobs"]) for row in whole}
    assert counts["population"] > 1 and counts["crops"] == 1
    results = tmp_path / "2/results/CE"
    assert (results / "report/index.html").exists() and len(list((results / "synthetic").glob("*.ome.zarr"))) == 2


@pytest.mark.parametrize("name", NAMES)
def test_frames_have_the_shape_and_the_density_of_the_paper(module, name):
    kind = module("scale_kinds").KINDS[name]
    data = module("scale_data")
    bodies = data.make_bodies(kind, 4)
    image, labels = data.make_frame(kind, bodies, np.random.default_rng(0))
    assert image.shape == labels.shape == kind.shape and image.dtype == kind.dtype and labels.dtype == np.uint16
    assert set(np.unique(labels)) == set(range(kind.cells + 1))
    assert image[labels > 0].mean() > image[labels == 0].mean() > kind.offset


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_apart_and_differ_from_frame_to_frame(module, name):
    kinds, data = module("scale_kinds"), module("scale_data")
    kind = kinds.tiny(kinds.KINDS[name])
    bodies = data.make_bodies(kind, 4)
    frames = [data.make_frame(kind, bodies, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[0], frames[2])
    labels = frames[0][1]
    for label in range(1, kind.cells + 1):
        around = ndimage.binary_dilation(labels == label, np.ones((3,) * labels.ndim))
        assert set(labels[around]) <= {0, label}


def test_more_cells_than_there_is_room_for_are_refused(module):
    kinds, data = module("scale_kinds"), module("scale_data")
    kind = replace(kinds.tiny(kinds.KINDS["HeLa"]), cells=1000)
    with pytest.raises(ValueError, match="no room for 1000 cells"):
        data.make_frame(kind, data.make_bodies(kind, 2), np.random.default_rng(0))


def peak_mb(code: str, folder: Path) -> float:
    """Peak memory of a Python process, as a small process measures it: this one's own memory would count."""
    watches = "import sys, machine, pathlib; folder = pathlib.Path(sys.argv[2])\n"
    watches += "print(machine.watch([sys.executable, '-c', sys.argv[1]], folder=folder, log=folder / 'log').peak_mb)"
    command = [sys.executable, "-c", watches, code, str(folder)]
    return float(subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True).stdout)


def test_peak_memory_is_that_of_a_process_with_its_children(tmp_path):
    allocates = "import time; held = bytearray(b'1') * 150_000_000; time.sleep(1)"
    starts = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {allocates!r}])"
    assert peak_mb("0", tmp_path) < 40
    assert 140 < peak_mb(allocates, tmp_path) < 190
    assert 280 < peak_mb(f"{starts}; {allocates}; child.wait()", tmp_path) < 350


def test_a_failure_says_what_the_process_wrote(module, tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no room on the disk')"]
    with pytest.raises(RuntimeError, match="no room on the disk"):
        module("machine").watch(command, folder=tmp_path, log=tmp_path / "log")


def test_time_that_counts_is_work_alone(module):
    used = module("machine").Usage
    stage = module("scale_project").Stage("CE", "crops", [{}], [used(9.0, 3.0, 100), used(4.0, 7.0, 100)], [1.0, 1.0])
    assert stage.seconds == [3.0, 4.0] and stage.work == [2.0, 3.0]


def test_growth_is_that_of_the_peaks(module):
    scale, project = module("scale"), module("scale_project")
    few, many = (
        [project.Stage("CE", "crops", [{"rule": "crops"}], [module("machine").Usage(1.0, 1.0, peak)])]
        for peak in (200.0, 230.0)
    )
    assert scale.growth_rows(few, many) == [["CE", "crops", "200", "230", "+15.0%"]]
