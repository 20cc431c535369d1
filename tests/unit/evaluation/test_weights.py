"""Which version of Cellpose some weights are of, and what is said where another one is configured or installed."""

import subprocess
import sys

import pytest
import torch

from cellcascade.config.cellpose_versions import ENVIRONMENTS
from cellcascade.config.settings import Cellpose
from cellcascade.core.errors import InputError
from cellcascade.evaluation.cellpose.weights import (
    check_start,
    fetch_generalist,
    installed,
    is_file,
    library,
    version_in_file,
)
from tests.segmentation_data import make_data, train

OURS = int(installed().split(".")[0])
OTHER = 7 - OURS
TENSORS = {3: "downsample.down.res_down_0.conv.conv_0.0.weight", 4: "encoder.patch_embed.proj.weight"}


def weights_of(version: int, path, **options):
    torch.save({TENSORS[version]: torch.zeros(3)}, path, **options)
    return path


def network(start, version: int = 3) -> Cellpose:
    return Cellpose(start=str(start), version=version)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("version", [3, 4])
def test_files_of_weights_tell_their_version(tmp_path, version, zipped):
    assert version_in_file(weights_of(version, tmp_path / "mine", _use_new_zipfile_serialization=zipped)) == version


@pytest.mark.skipif(OURS != 3, reason="trains Cellpose 3")
def test_a_trained_network_tells_its_version(tmp_path):
    train(make_data(tmp_path), "none", "net")
    assert version_in_file(tmp_path / "net" / "model") == 3


@pytest.mark.parametrize("damage", ["missing", "folder", "text", "truncated", "another network"])
def test_what_is_no_network_is_named(tmp_path, damage):
    path = tmp_path / "mine"
    if damage == "folder":
        path.mkdir()
    if damage == "text":
        path.write_text("no weights")
    if damage == "truncated":
        path.write_bytes(weights_of(3, tmp_path / "whole").read_bytes()[:300])
    if damage == "another network":
        torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="Cellpose weights cannot be used") as caught:
        check_start(network(path))
    assert str(path) in caught.value.where and "evaluation.cellpose.start" in caught.value.where


@pytest.mark.parametrize("version", [3, 4])
def test_a_start_of_another_version_than_the_configured_one_is_refused(tmp_path, version):
    start = weights_of(version, tmp_path / "mine")
    check_start(network(start, version))
    with pytest.raises(InputError, match="another version of Cellpose") as caught:
        check_start(network(start, 7 - version))
    assert f"evaluation.cellpose.version: {version}" in caught.value.fix


def test_only_files_that_are_not_made_by_the_workflow_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_start(network("scratch"))
    check_start(network("cyto3"))
    check_start(network("results/A/evaluation/cellpose/both-0/model"))
    with pytest.raises(InputError, match="cannot be used"):
        check_start(network("./absent"))
    assert [is_file(start) for start in ("scratch", "cpsam", "./mine", "/a/mine")] == [False, False, True, True]


def test_the_module_of_the_installed_version_is_used():
    assert library(OURS).__name__ == f"cellcascade.evaluation.cellpose.v{OURS}"


def test_training_with_another_version_says_what_is_there_and_how_to_get_it(tmp_path):
    settings = Cellpose(version=OTHER, start="./mine")
    with pytest.raises(InputError, match=f"This network needs Cellpose {OTHER}") as error:
        train(make_data(tmp_path), "real", settings=settings)
    message = str(error.value)
    assert f"found:    cellpose {installed()}" in message and "--sdm conda" in message
    assert f"envs/{ENVIRONMENTS[OTHER]}.yaml" in message and "evaluation.cellpose.version" in message
    assert not (tmp_path / "net").exists()


def test_weights_are_not_fetched_with_another_version(tmp_path):
    name = {3: "cyto3", 4: "cpsam"}[OTHER]
    with pytest.raises(InputError, match=f"This network needs Cellpose {OTHER}"):
        fetch_generalist(name=name, weights=tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(OURS != 3, reason="Cellpose 4 has no names besides its own")
def test_a_name_that_is_no_generalist_is_refused(tmp_path):
    with pytest.raises(InputError, match="no generalist of this name") as caught:
        fetch_generalist(name="cyto33", weights=tmp_path / "cyto33")
    assert "cyto3" in caught.value.expected and "cpsam" in caught.value.expected


def test_looking_at_weights_loads_neither_torch_nor_cellpose():
    code = "import sys, cellcascade.evaluation.cellpose.weights; print({'torch', 'cellpose'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
