"""The Inception network of the FID: its definition, its file of weights, and how that file is fetched."""

import errno
import socket
import threading
from collections import OrderedDict
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cellcascade.core.errors import InputError
from cellcascade.metrics.inception import InceptionFID, fetch_inception, inception_vectors, load_inception

SHAPES = {
    "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
    "Conv2d_1a_3x3.bn.running_var": (32,),
    "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
    "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
    "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
    "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
    "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
    "Mixed_6c.branch7x7dbl_2.conv.weight": (160, 160, 7, 1),
    "Mixed_6e.branch7x7dbl_5.bn.weight": (192,),
    "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
    "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
    "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
    "fc.weight": (1008, 2048),
    "fc.bias": (1008,),
}


def filled() -> InceptionFID:
    """The network with weights that keep activations of order 1, the same everywhere."""
    network, generator = InceptionFID(), np.random.default_rng(0)
    state = network.state_dict()
    for name in sorted(state):
        shape, values = tuple(state[name].shape), None
        if len(shape) == 4:
            values = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("running_mean"):
            values = generator.uniform(-0.1, 0.1, shape)
        elif name.endswith("running_var"):
            values = generator.uniform(0.5, 1.5, shape)
        if values is not None:
            state[name] = torch.from_numpy(values.astype(np.float32))
    network.load_state_dict(state)
    return network.eval()


def pictures() -> np.ndarray:
    """Two grey images (2, 40, 48)."""
    y, x = np.mgrid[:40, :48] / 40
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1) * 0.8
    return np.stack([(np.sin(9 * x) * np.cos(7 * y) + 1) / 2, disc]).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> InceptionFID:
    return filled()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


def fed(network: InceptionFID, images: np.ndarray) -> torch.Tensor:
    """What the first convolution is given."""
    seen = []
    hook = network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    with torch.inference_mode():
        network(torch.from_numpy(images))
    hook.remove()
    return seen[0]


def test_parameters_are_those_of_the_published_file(network):
    state = network.state_dict()
    assert len(state) == 94 * 6 + 2
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_850_960
    assert {name: tuple(state[name].shape) for name in SHAPES} == SHAPES
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.001}


def test_features_are_those_of_pytorch_fid(network):
    """The figures are what pytorch-fid 0.3.0, on torchvision's network, gives for these weights and images."""
    with torch.inference_mode():
        features = network(torch.from_numpy(pictures())).numpy()
    assert features.shape == (2, 2048)
    places = [0, 319, 320, 700, 1500, 2047]
    first = [0.1247002, 3.7698960, 0.0, 0.1093254, 0.6863449, 0.0917043]
    second = [0.2858833, 6.1939645, 0.0, 0.1757114, 1.1678209, 0.1011336]
    np.testing.assert_allclose(features[:, places], [first, second], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(features.mean(1), [0.7951669, 1.3426980], rtol=1e-4)


def test_images_are_resized_without_smoothing_and_centred_on_zero(network):
    image = np.random.default_rng(0).random((1, 897, 897), np.float32)
    given = fed(network, image)
    assert given.shape == (1, 3, 299, 299)
    np.testing.assert_allclose(given[0, 0], 2 * image[0, 1::3, 1::3] - 1, atol=1e-5)
    assert torch.equal(given[0, 0], given[0, 2])


def pooled(block: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """What a block's pooled branch puts out, last among its channels."""
    with torch.inference_mode():
        return block(maps)[:, -block.branch_pool.conv.out_channels :]


@pytest.mark.parametrize(
    ("name", "edge", "channels"),
    [("Mixed_5b", 35, 192), ("Mixed_5d", 35, 288), ("Mixed_6b", 17, 768), ("Mixed_6e", 17, 768), ("Mixed_7b", 8, 1280)],
)
def test_average_pools_leave_padding_out_of_the_mean(network, name, edge, channels):
    flat = torch.rand(channels, generator=torch.Generator().manual_seed(0))
    found = pooled(network.get_submodule(name), flat[None, :, None, None].expand(1, -1, edge, edge).contiguous())
    assert found.std((1, 2, 3)).item() > 0.1
    torch.testing.assert_close(found, found[:, :, 4:5, 4:5].expand_as(found), rtol=1e-3, atol=1e-4)


def test_the_last_block_pools_by_the_maximum(network):
    spike = torch.zeros(1, 2048, 8, 8)
    spike[:, :, 3, 3] = 1
    spread = torch.zeros(1, 2048, 8, 8)
    spread[:, :, 2:5, 2:5] = 1
    block = network.Mixed_7c
    with torch.inference_mode():
        expected = block.branch_pool(spread)
    torch.testing.assert_close(pooled(block, spike), expected, rtol=1e-3, atol=1e-4)
    assert (expected[..., 2, 2] - expected[..., 0, 0]).abs().max() > 0.1


def test_saved_weights_give_the_same_features_and_a_warning_that_they_are_not_the_published_ones(
    network, weights, caplog
):
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures())).numpy()
    np.testing.assert_allclose(inception_vectors(weights, device="cpu")(pictures()), expected, rtol=1e-5, atol=1e-6)
    assert "not the published weights" in caplog.text


def test_files_of_old_that_count_no_batches_are_read(network, tmp_path):
    state = OrderedDict((k, v) for k, v in network.state_dict().items() if "num_batches" not in k)
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = load_inception(tmp_path / "old.pth")
    assert torch.equal(loaded.Mixed_7c.branch1x1.conv.weight, network.Mixed_7c.branch1x1.conv.weight)
    assert not loaded.training


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(InputError, match="are missing") as caught:
        load_inception(tmp_path / "none.pth")
    assert "evaluation.inception" in caught.value.fix
    assert "https://" in caught.value.fix


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_weights_are_told_from_whole_ones(network, tmp_path, zipped, share):
    path = tmp_path / "cut.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="cannot be read"):
        load_inception(path)


def test_a_page_instead_of_weights_cannot_be_read(tmp_path):
    (tmp_path / "page.pth").write_text("<html>Not Found</html>")
    with pytest.raises(InputError, match="cannot be read"):
        load_inception(tmp_path / "page.pth")


def test_weights_of_another_network_are_refused(network, tmp_path):
    state = dict(network.state_dict())
    state["AuxLogits.fc.bias"] = state.pop("Mixed_5b.branch1x1.bn.weight")
    state["fc.bias"] = torch.zeros(1000)
    for content, found in ((state, "1 parameters missing, first Mixed_5b.branch1x1.bn.weight"), ([1], "a list")):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(InputError, match="belong to another network") as caught:
            load_inception(tmp_path / "other.pth")
        assert found in caught.value.found
    assert "1000" not in caught.value.found


CONTENT = np.random.default_rng(0).bytes(100_000)
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """A server of CONTENT at `/weights`, of half of it at `/cut`, that says nothing at all at `/silent`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            if self.path == "/silent":
                self.wfile.write(b"no HTTP\r\n\r\n")
                return
            if self.path not in ("/weights", "/cut"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: 50_000 if self.path == "/cut" else None])

        def log_message(self, *arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_weights_are_fetched_and_checked(server, tmp_path):
    target = tmp_path / "inception" / "weights.pth"
    fetch_inception(weights=target, url=f"{server}/weights", sha256=DIGEST)
    assert target.read_bytes() == CONTENT and target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in target.parent.iterdir()] == ["weights.pth"]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(("place", "digest"), [("cut", DIGEST), ("weights", "0" * 64)])
def test_a_download_that_broke_off_or_is_something_else_is_thrown_away(server, tmp_path, place, digest):
    with pytest.raises(InputError, match="not the published ones") as caught:
        fetch_inception(weights=tmp_path / "weights.pth", url=f"{server}/{place}", sha256=digest)
    assert digest in caught.value.found and f"{server}/{place}" in caught.value.found
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["none", "silent"])
def test_a_server_without_the_weights_is_named(server, tmp_path, place):
    with pytest.raises(InputError, match="could not be fetched") as caught:
        fetch_inception(weights=tmp_path / "weights.pth", url=f"{server}/{place}", sha256=DIGEST)
    assert f"{server}/{place}" in caught.value.found and "evaluation.inception" in caught.value.fix
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_message_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="could not be fetched") as caught:
        fetch_inception(weights=tmp_path / "weights.pth", url="http://127.0.0.1:9/none")
    assert "on a machine with network" in caught.value.fix


def test_a_full_disk_is_no_trouble_of_the_network(server, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(InputError, match="The disk is full"):
        fetch_inception(weights=tmp_path / "weights.pth", url=f"{server}/weights", sha256=DIGEST)
    assert not list(tmp_path.iterdir())
