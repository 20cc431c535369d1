"""Which version of Cellpose some weights need, and what is said where another one is installed."""

from types import SimpleNamespace

import pytest
import torch

from cellcascade.config.cellpose_versions import ENVIRONMENTS, installed, library, version_of
from cellcascade.core.errors import InputError
from scripts import cellpose_weights
from tests.segmentation_data import make_data, train

OURS = int(installed().split(".")[0])
OTHER = 7 - OURS
TENSORS = {3: "downsample.down.res_down_0.conv.conv_0.0.weight", 4: "encoder.patch_embed.proj.weight"}


def weights_of(version: int, path):
    torch.save({TENSORS[version]: torch.zeros(3)}, path)
    return path


@pytest.mark.parametrize("version", [3, 4])
def test_files_of_weights_tell_their_version(tmp_path, version):
    assert version_of(weights_of(version, tmp_path / "mine")) == version


def test_names_tell_their_version_and_what_is_no_network_is_left_to_version_3(tmp_path):
    (tmp_path / "text").write_text("no weights")
    torch.save({TENSORS[3]: torch.zeros(3)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    names = ("cpsam", "cpsam_v2", tmp_path / "cpsam", "cyto3", "scratch", None, tmp_path, tmp_path / "absent")
    assert [version_of(name) for name in names] == [4, 4, 4, 3, 3, 3, 3, 3]
    assert version_of(tmp_path / "text") == version_of(tmp_path / "old") == 3


def test_the_module_of_the_installed_version_is_used(tmp_path):
    assert library(weights_of(OURS, tmp_path / "mine")).__name__ == f"cellcascade.evaluation.cellpose.train{OURS}"


def test_training_with_another_version_says_what_is_there_and_how_to_mend_it(tmp_path):
    start = weights_of(OTHER, tmp_path / "mine")
    with pytest.raises(InputError, match=f"This network needs Cellpose {OTHER}") as error:
        train(make_data(tmp_path), "real", start=start)
    message = str(error.value)
    assert f"found:    cellpose {installed()}" in message and "--sdm conda" in message
    assert f"envs/{ENVIRONMENTS[OTHER]}.yaml" in message and "evaluation.cellpose.start" in message
    assert not (tmp_path / "net").exists()


def test_weights_are_not_fetched_with_another_version(tmp_path):
    name = {3: "cyto3", 4: "cpsam"}[OTHER]
    with pytest.raises(InputError, match=f"This network needs Cellpose {OTHER}"):
        cellpose_weights.main(None, SimpleNamespace(weights=tmp_path / name), name=name)
    assert not list(tmp_path.iterdir())
