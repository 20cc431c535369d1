"""Cellpose's compiled functions are kept from one process to the next."""

import subprocess
import sys

PROGRAM = """
import numba
compiles = numba.njit
from cellcascade.evaluation.cellpose.compiled import dynamics
assert numba.njit is compiles
found = [dynamics._extend_centers, dynamics.steps2D, dynamics.steps3D]
print(sum(sum(function.stats.cache_hits.values()) for function in found))
"""


def test_second_process_compiles_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True) for _ in range(2)]
    assert [run.stdout.split() for run in runs] == [["0"], ["3"]], runs[-1].stderr
