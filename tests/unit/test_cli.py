"""The command line as a whole; what its commands do is tested with the rooms that do it."""

import subprocess
import sys

import pytest

import cellcascade
from cellcascade.cli import main


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"cellcascade {cellcascade.__version__}\n"


def test_without_a_command_it_says_how_it_is_used(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "usage: cellcascade " in capsys.readouterr().err


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "cellcascade", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and {"schema", "reference", "check", "seg", "export", "preview", "recover"} <= set(
        done.stdout.split()
    )


def test_it_answers_at_once():
    """Only the standard library and the package itself are imported before a command runs."""
    code = "import sys, cellcascade.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "cellcascade" in loaded
    assert not {"numpy", "pandas", "pydantic", "scipy", "torch", "yaml", "zarr"} & set(loaded)


def test_output_that_nobody_reads_to_its_end_is_no_error():
    command = f"{sys.executable} -m cellcascade reference | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1 and not done.stderr and done.returncode in (0, 1)


def test_fit_looks_at_the_formats_before_anything_else(tmp_path, capsys):
    assert main(["fit", str(tmp_path), "--out", str(tmp_path / "out"), "--for", "cellpose", "other"]) == 1
    assert "There is no such format" in capsys.readouterr().err and not (tmp_path / "out").exists()
