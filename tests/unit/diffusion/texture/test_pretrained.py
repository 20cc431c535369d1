"""The pretrained model: fetched from a hub that speaks the real protocol, and refused before a GPU is needed."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from cellcascade.config.texture import Texture
from cellcascade.core.errors import InputError
from cellcascade.diffusion.texture import model as texture_model
from cellcascade.diffusion.texture.pretrained import check_autoencoder, check_base, fetch_base
from tests.sd_base import add_text_encoder, make_autoencoder, make_base

COMMIT = "0123456789abcdef0123456789abcdef01234567"
UNET = "unet/diffusion_pytorch_model.safetensors"


def change_config(folder, part, **values):
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_a_sound_folder_gives_the_files_that_are_used(tmp_path):
    folder = Path(make_base(tmp_path))
    (folder / "unet/diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not looked at")
    used = {str(Path(path).relative_to(folder)) for path in check_base(folder)}
    vae = {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}
    assert used == {"unet/config.json", UNET, "scheduler/scheduler_config.json"} | vae
    assert {str(Path(path).relative_to(folder)) for path in check_base(folder, latent=False)} == used - vae


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda folder: (folder / UNET).unlink(), "unet/: no weights as diffusion_pytorch_model.safetensors"),
        (lambda folder: truncate(folder / UNET), f"{UNET}: truncated or damaged, "),
        (lambda folder: (folder / UNET).write_bytes(b""), "truncated or damaged, 0 bytes"),
        (
            lambda folder: (folder / UNET).write_bytes(b"version https://git-lfs.github.com/spec/v1"),
            "damaged, 42 bytes",
        ),
        (lambda folder: (folder / "scheduler/scheduler_config.json").unlink(), "scheduler_config.json: missing"),
        (lambda folder: (folder / "vae/config.json").write_text("{"), "vae/config.json: "),
        (lambda folder: change_config(folder, "unet", in_channels=9), "conv_in.weight is [16, 4, 3, 3], config.json"),
        (lambda folder: change_config(folder, "unet", layers_per_block=2), "resnets.1.conv2.weight is missing"),
        (lambda folder: change_config(folder, "unet", addition_embed_type="text_time"), "Stable Diffusion XL"),
        (lambda folder: change_config(folder, "vae", _class_name="AsymmetricAutoencoderKL"), ", not AutoencoderKL"),
    ],
)
def test_damaged_and_unfit_models_are_named(tmp_path, damage, found):
    folder = Path(make_base(tmp_path))
    damage(folder)
    with pytest.raises(InputError) as error:
        check_base(folder)
    assert found in str(error.value) and "expected" in str(error.value)


def test_an_inpainting_model_is_named_and_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="9 input channels for latents of 4"):
        check_base(make_base(tmp_path, in_channels=9))
    with pytest.raises(InputError, match="no such folder"):
        texture_model.build(Texture(base="/nowhere/sd", space="latent"), 32)


def test_all_problems_come_at_once(tmp_path):
    folder = Path(make_base(tmp_path))
    truncate(folder / UNET)
    (folder / "vae/config.json").unlink()
    with pytest.raises(InputError, match=r"truncated or damaged.*; vae/config.json: missing"):
        check_base(folder)


def test_files_as_stable_diffusion_1_5_has_them_are_read(tmp_path):
    """Its autoencoder has the attention's old names and few keys in its configuration, its scheduler is PNDM's."""
    folder = Path(make_base(tmp_path))
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    weights, old = load_file(path), {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, value in weights.items():
        for new, former in old.items():
            name = name.replace(f"mid_block.attentions.0.{new}.", f"mid_block.attentions.0.{former}.")
        renamed[name] = value
    assert "encoder.mid_block.attentions.0.query.weight" in renamed
    save_file(renamed, path, metadata={"format": "pt"})
    config = json.loads((folder / "vae/config.json").read_text())
    kept = ("block_out_channels", "channels", "block_types", "layers_per_block", "norm_num_groups", "_class_name")
    old_config = {name: value for name, value in config.items() if name.endswith(kept)}
    (folder / "vae/config.json").write_text(json.dumps(old_config | {"_diffusers_version": "0.6.0"}))
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
    schedule |= {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(schedule | {"clip_sample": False}))
    model = texture_model.build(Texture(base=str(folder), space="latent"), 32)
    loaded = model.space.vae.state_dict()
    assert loaded.keys() == weights.keys() and all(torch.equal(loaded[name], weights[name]) for name in weights)
    assert model.schedule.config.beta_end == 0.012 and not model.schedule.config.clip_sample


def test_weights_that_lack_some_tensors_are_no_model(tmp_path):
    folder = Path(make_base(tmp_path))
    weights = load_file(folder / UNET)
    del weights["mid_block.resnets.0.conv1.bias"]
    save_file(weights, folder / UNET, metadata={"format": "pt"})
    with pytest.raises(InputError, match="1 weights are missing, such as mid_block.resnets.0.conv1.bias"):
        texture_model.build(Texture(base=str(folder), space="latent"), 32)


class Hub(ThreadingHTTPServer):
    """A hub on this machine with one repository, by the protocol that huggingface_hub speaks."""

    def __init__(self, folder: Path):
        self.files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        self.served, self.spoilt = [], set()
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


def described(name, content):
    """Hashes of a file as the hub states them: large ones by SHA-256."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return blob, (lfs if name.endswith(".safetensors") else None)


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        files, path = self.server.files, self.path.split("?")[0]
        if path.startswith("/api/models/someone/tiny/tree/"):
            rows = []
            for name, content in files.items():
                blob, lfs = described(name, content)
                rows.append({"type": "file", "path": name, "size": len(content), "oid": blob})
                rows[-1] |= {"lfs": lfs | {"oid": lfs["sha256"]}} if lfs else {}
            return self.answer(json.dumps(rows).encode())
        if path.startswith("/api/models/someone/tiny"):
            rows = []
            for name, content in files.items():
                blob, lfs = described(name, content)
                rows.append({"rfilename": name, "size": len(content), "blobId": blob, "lfs": lfs})
            return self.answer(json.dumps({"id": "someone/tiny", "sha": COMMIT, "siblings": rows}).encode())
        name = path.removeprefix(f"/someone/tiny/resolve/{COMMIT}/")
        if name not in files:
            return self.send_error(404)
        content = files[name]
        blob, lfs = described(name, content)
        if self.command == "GET":
            self.server.served.append(name)
            if name in self.server.spoilt:
                content = bytes([content[0] ^ 1]) + content[1:]
        return self.answer(content, {"ETag": f'"{lfs["sha256"] if lfs else blob}"', "X-Repo-Commit": COMMIT})

    def answer(self, content, headers=None):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path):
    source = tmp_path / "hub"
    make_base(source)
    (source / "unet/diffusion_pytorch_model.non_ema.safetensors").write_bytes(b"not wanted")
    (source / "v1.ckpt").write_bytes(b"not wanted")
    with Hub(source) as server:
        yield server
        server.shutdown()


def fetch(endpoint, folder):
    """Fetch as the rule does, in a process of its own, because the hub's address is read at import."""
    code = (
        "import sys; from cellcascade.diffusion.texture.pretrained import fetch_base\n"
        "from cellcascade.core.errors import InputError\n"
        "from pathlib import Path\n"
        f"try: fetch_base(hub_id='someone/tiny', checksums=Path({str(folder)!r}) / 'SHA256SUMS')\n"
        "except InputError as error: sys.exit(str(error))"
    )
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(folder.parent / "cache"), "HF_HUB_DISABLE_XET": "1"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | settings
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


def test_a_model_is_fetched_with_checksums_and_only_what_is_missing_or_damaged_again(hub, tmp_path):
    folder = tmp_path / "resources/someone/tiny"
    hub.spoilt = {UNET}
    code, said = fetch(hub.endpoint, folder)
    assert code == 1 and "arrived damaged" in said and UNET in said and not (folder / "SHA256SUMS").exists()

    hub.spoilt, hub.served = set(), []
    assert fetch(hub.endpoint, folder)[0] == 0
    assert hub.served == [UNET]
    check = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert check.returncode == 0 and check.stdout.count("OK") == 5
    assert not list(folder.glob("*.ckpt")) and not list(folder.glob("unet/*non_ema*"))
    texture_model.build(Texture(base=str(folder), space="latent"), 32)

    truncate(folder / "vae/diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="delete .*SHA256SUMS and rerun snakemake"):
        check_base(folder)
    (folder / "SHA256SUMS").unlink()
    hub.served = []
    assert fetch(hub.endpoint, folder)[0] == 0 and hub.served == ["vae/diffusion_pytorch_model.safetensors"]


def test_without_a_hub_a_copied_folder_is_taken_and_else_the_way_to_copy_is_told(tmp_path):
    nowhere = "http://127.0.0.1:9"
    code, said = fetch(nowhere, tmp_path / "resources/someone/tiny")
    assert code == 1 and "hf download someone/tiny" in said and "scratch" in said
    make_base(tmp_path / "copied/tiny")
    assert fetch(nowhere, tmp_path / "copied/tiny")[0] == 0 and (tmp_path / "copied/tiny/SHA256SUMS").exists()
    truncate(tmp_path / "copied/tiny" / UNET)
    code, said = fetch(nowhere, tmp_path / "copied/tiny")
    assert code == 1 and "truncated" in said


@pytest.mark.parametrize("reason", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("os error 28")])
def test_a_full_disk_is_not_taken_for_a_hub_that_is_away(tmp_path, monkeypatch, reason):
    folder = Path(make_base(tmp_path / "someone/tiny"))

    def full(*arguments, **more):
        raise RuntimeError("the download failed") from reason

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=[], sha=COMMIT))
    if isinstance(reason, OSError):
        with pytest.raises(InputError, match="The disk is full"):
            fetch_base(hub_id="someone/tiny", checksums=folder / "SHA256SUMS")
        assert not (folder / "SHA256SUMS").exists()
    else:
        fetch_base(hub_id="someone/tiny", checksums=folder / "SHA256SUMS")
        assert (folder / "SHA256SUMS").exists()


def test_the_text_encoder_is_fetched_with_the_rest_and_looked_at(hub, tmp_path):
    add_text_encoder(tmp_path / "hub")
    folder = tmp_path / "resources/someone/tiny"
    with Hub(tmp_path / "hub") as server:
        assert fetch(server.endpoint, folder)[0] == 0
        server.shutdown()
    names = {"text_encoder/config.json", "text_encoder/model.safetensors"}
    names |= {"tokenizer/vocab.json", "tokenizer/special_tokens_map.json"}
    assert names <= {line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    save_file({"token_embedding.weight": torch.zeros(5, 8)}, folder / "text_encoder/model.safetensors")
    with pytest.raises(InputError, match="a text encoder of 8 features for a UNet of 24"):
        check_base(folder)
    truncate(folder / "text_encoder/model.safetensors")
    with pytest.raises(InputError, match="text_encoder/model.safetensors: truncated"):
        check_base(folder)


def test_an_autoencoder_by_itself_is_fetched(tmp_path):
    make_autoencoder(tmp_path / "hub")
    (tmp_path / "hub/README.md").write_text("not wanted")
    folder = tmp_path / "resources/someone/tiny"
    with Hub(tmp_path / "hub") as server:
        assert fetch(server.endpoint, folder)[0] == 0
        assert sorted(server.served) == ["config.json", "diffusion_pytorch_model.safetensors"]
        server.shutdown()
    assert [Path(path).name for path in check_autoencoder(folder)] == sorted(server.served)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda folder: truncate(folder / "diffusion_pytorch_model.safetensors"), "truncated or damaged, "),
        (lambda folder: (folder / "diffusion_pytorch_model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing"),
        (lambda folder: change_config(folder, ".", _class_name="VQModel"), "of class VQModel"),
    ],
)
def test_damaged_and_unfit_autoencoders_are_named(tmp_path, damage, found):
    folder = tmp_path / "autoencoder"
    make_autoencoder(folder)
    damage(folder)
    with pytest.raises(InputError, match=found):
        check_autoencoder(folder)


def test_looking_at_a_base_needs_no_torch(tmp_path):
    code = "import sys; from cellcascade.diffusion.texture.pretrained import check_base; check_base(sys.argv[1])"
    code += "; from cellcascade.diffusion.texture.memory import of_base; from cellcascade.config.texture import Texture"
    code += "; print(of_base(Texture(base=sys.argv[1], space='latent'), 32))"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, make_base(tmp_path)]).returncode == 0


@pytest.mark.parametrize("channels, said", [(4, "set texture.block to 2"), (8, "set texture.space to latent")])
def test_a_base_that_does_not_fit_the_pixel_blocks_is_refused(tmp_path, channels, said):
    with pytest.raises(InputError, match=f"{channels} input channels for pixel blocks of 4 x 4: {said}"):
        check_base(make_base(tmp_path, in_channels=channels), latent=False, block=4)
