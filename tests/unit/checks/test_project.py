"""The command `check`: a table on screen and a page per data set, an exit status that says whether a run may start."""

import numpy as np
import pytest
import yaml

from cellcascade.checks.finding import KINDS
from cellcascade.cli import main
from tests.unit.checks.scenes import frames, relabelled, write

ENTRY = {"annotations": "GT", "test_sequence": None, "voxel_size_um": [0.5, 0.5], "crops": {"size": 64}}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two data sets, one with mirrored masks, and their configuration, in an empty folder."""
    write(tmp_path / "data/right", frames())
    write(tmp_path / "data/wrong", relabelled(lambda labels: labels[:, ::-1]))
    monkeypatch.chdir(tmp_path)

    def configure(**datasets):
        raw = {"device": "cpu", "datasets": {name: ENTRY | {"folder": name} | own for name, own in datasets.items()}}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path

    return configure


def test_sound_data_pass_with_a_page(files, capsys):
    folder = files(right={})
    assert main(["check", "mine.yaml"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("right: Sound.") and "annotated cells usable" in said.out and not said.err
    assert "The results take about" in said.out and "No Snakefile" in said.out
    assert "Frames and annotations fit together" in (folder / "results/right/check/index.html").read_text()


def test_all_errors_are_listed_with_their_cures_and_can_be_accepted(files, capsys):
    folder = files(right={}, wrong={})
    assert main(["check", "mine.yaml"]) == 1
    said = capsys.readouterr()
    assert "right: Sound." in said.out and "wrong: 1 error" in said.out and said.err.startswith("1 error found")
    assert f"ERROR: {KINDS['masks_do_not_fit'].title} (masks_do_not_fit)" in said.out
    assert "mirrored left to right" in said.out
    assert (folder / "results/wrong/check/index.html").read_text().count("data:image/png") >= 4
    files(wrong={"accept": ["masks_do_not_fit"]})
    assert main(["check", "mine.yaml"]) == 0
    assert "WARNING: Masks do not fit their frames (masks_do_not_fit, accepted)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("datasets: [", "while parsing"),
        ("- a\n", "list"),
        ("\0", "special characters are not allowed"),
        ("", "datasets"),
        ("datasets: {A: 3}", "must be a block of keys"),
        ("datasets: {A: {folder: A, voxel_size_um: 0.5}}", "voxel_size_um"),
    ],
)
def test_a_configuration_that_is_none_is_a_message(tmp_path, capsys, text, said):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["check", str(path)]) == 1
    error = capsys.readouterr().err
    assert said in error and str(path) in error and "Traceback" not in error


def test_damaged_data_of_every_kind_are_findings(files, capsys):
    """Files cut anywhere, and overwritten at random places, never end in a traceback."""
    folder = files(right={})
    path = folder / "data/right/01/t001.tif"
    content, random = path.read_bytes(), np.random.default_rng(0)
    for trial in range(12):
        damaged = bytearray(content)
        if trial % 2:
            del damaged[int(random.integers(len(damaged))) :]
        else:
            for place in random.integers(min(400, len(damaged)), size=8):
                damaged[place] = int(random.integers(256))
        path.write_bytes(bytes(damaged))
        assert main(["check", "mine.yaml"]) in (0, 1)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err and "right: " in said.out
