import json
import shutil
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from cellcascade.config.settings import Multiview
from cellcascade.core.errors import InputError
from cellcascade.diffusion import multiview
from cellcascade.diffusion.multiview_weights import VERSION, check_weights

TINY = Multiview(views=3, channels=8, volume_channels=8)


@pytest.fixture
def folder(tmp_path):
    """A model with random weights, as training leaves it."""
    settings = TINY.model_dump(mode="json", exclude={"weights", "sampling_steps", "sampling_batch", "guidance"})
    save_file(multiview.build(TINY, 16).state_dict(), tmp_path / "model.safetensors")
    record = {"settings": settings, "resolution": 16, "shapes": 8, "seed": 0, "version": VERSION}
    (tmp_path / "config.json").write_text(json.dumps(record))
    return tmp_path


def rewrite(folder, change):
    record = json.loads((folder / "config.json").read_text())
    change(record)
    (folder / "config.json").write_text(json.dumps(record))


def cut(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])


def test_whole_files_of_this_version_are_accepted(folder):
    where, settings, resolution = check_weights(str(folder))
    assert (where, settings.views, settings.channels, resolution) == (folder, 3, 8, 16)
    model, _, _ = multiview.load(str(folder), torch.device("cpu"))
    saved = load_file(folder / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: rewrite(f, lambda record: record.update(version=VERSION - 1)), f"weights of version {VERSION - 1}"),
        (lambda f: rewrite(f, lambda record: record.update(version=VERSION + 1)), f"weights of version {VERSION + 1}"),
        (lambda f: rewrite(f, lambda record: record.pop("version")), "config.json: version: Field required"),
        (lambda f: rewrite(f, lambda record: record["settings"].update(depth=3)), "config.json: depth: Extra inputs"),
        (lambda f: rewrite(f, lambda record: record["settings"].update(views=0)), "config.json: views: Input should"),
        (lambda f: rewrite(f, lambda record: record["settings"].update(channels=12)), "config.json: channels: Input"),
        (lambda f: rewrite(f, lambda record: record.update(resolution="?")), "config.json: resolution: Input should"),
        (lambda f: (f / "config.json").write_text("{"), "config.json: Invalid JSON"),
        (lambda f: (f / "config.json").unlink(), "No such file or directory"),
        (lambda f: (f / "model.safetensors").unlink(), "No such file or directory"),
        (lambda f: cut(f, -5), "model.safetensors is truncated or damaged"),
        (lambda f: cut(f, 6), "model.safetensors is truncated or damaged"),
        (lambda f: cut(f, 0), "model.safetensors is truncated or damaged"),
        (lambda f: (f / "model.safetensors").write_text("x" * 1000), "model.safetensors is truncated or damaged"),
        (shutil.rmtree, "No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_was_found(folder, damage, message):
    damage(folder)
    for refuse in (check_weights, lambda weights: multiview.load(weights, torch.device("cpu"))):
        with pytest.raises(InputError, match="The multiview model cannot be loaded") as caught:
            refuse(str(folder))
        assert message in caught.value.found and str(folder) in caught.value.where
        assert f"version {VERSION}" in caught.value.expected and "multiview.weights" in caught.value.fix


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["settings"].update(channels=16), "size mismatch"),
        (lambda record: record["settings"].update(surface="silhouette"), "size mismatch"),
        (lambda record: record.update(resolution=32), "size mismatch"),
    ],
)
def test_weights_beside_the_record_of_another_network_are_refused(folder, change, message):
    rewrite(folder, change)
    check_weights(str(folder))  # the files are whole; only the network tells that they do not belong together
    with pytest.raises(InputError, match=message) as caught:
        multiview.load(str(folder), torch.device("cpu"))
    assert len(caught.value.found) < 400


def test_weights_with_other_names_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["leave.3.bias"] = tensors.pop("leave.2.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match="Missing key.*leave.2.bias.*Unexpected key.*leave.3.bias"):
        multiview.load(str(folder), torch.device("cpu"))


def test_a_header_that_promises_too_much_is_refused_without_reading_it(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(InputError, match="truncated or damaged"):
        check_weights(str(folder))


def test_looking_at_the_files_needs_no_torch(folder):
    code = "import sys; from cellcascade.diffusion.multiview_weights import check_weights; check_weights(sys.argv[1])"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(folder)]).returncode == 0


def test_bundled_weights_are_of_this_version_and_small():
    folder, settings, resolution = check_weights("bundled")
    assert settings.views >= 8 and resolution >= 32
    assert (folder / "model.safetensors").stat().st_size <= 10e6
