"""The pretrained model that textures start from: fetched once, with checksums, and checked by its headers.

Looking takes milliseconds and no torch, so the workflow does it while it plans: a missing, truncated or unfit file is
reported before a job waits for a GPU.
"""

import hashlib
import json
import logging
import math
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path, disk_full, disk_is_full

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

logger = logging.getLogger(__name__)

TEXT, VOCABULARY = "text_encoder", "tokenizer/vocab.json"  # optional, and used if they are there
CONFIGS = {"unet": "config.json", "vae": "config.json", TEXT: "config.json", "scheduler": "scheduler_config.json"}
TOKENS = (VOCABULARY, "tokenizer/special_tokens_map.json")
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
WEIGHTS = re.compile(r"(?:diffusion_pytorch_)?model(?:\.(\w+))?\.safetensors")
CHECKSUMS = "SHA256SUMS"
EXTRAS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim")  # inputs we do not have


def is_hub_id(name: str) -> bool:
    """Whether a texture base or autoencoder is to be fetched from the hub (`owner/model`), not a folder."""
    return bool(re.fullmatch(r"\w[\w.-]*/[\w.-]+", name)) and not Path(name).is_dir()


def weights_file(names: Iterable[str]) -> str | None:
    """The weights to use among the files of a model's part: full precision if it is there, else a variant (fp16)."""
    return min((name for name in names if WEIGHTS.fullmatch(name)), key=len, default=None)


def variant_of(folder: str | Path) -> str | None:
    """Variant of the weights in a part's folder, as diffusers names it; none for the plain ones."""
    name = weights_file(path.name for path in Path(folder).iterdir())
    match = WEIGHTS.fullmatch(name) if name else None
    return match[1] if match else None


def class_of(folder: Path) -> str | None:
    """Class of the model in a folder, by its configuration; `None` where there is none that can be read."""
    try:
        return json.loads((folder / "config.json").read_text()).get("_class_name")
    except (OSError, ValueError):
        return None


def text_files(folder: str | Path) -> list[str]:
    """The files of a base's text encoder and tokenizer, which tell what an empty prompt is; none if one is missing."""
    text = Path(folder) / TEXT
    weights = weights_file(path.name for path in text.iterdir()) if text.is_dir() else None
    needed = [text / "config.json", text / str(weights), Path(folder) / VOCABULARY]
    if not all(path.is_file() for path in needed):
        return []
    return [str(path) for path in [*needed, *(Path(folder) / name for name in TOKENS[1:])] if path.is_file()]


def autoencoder_folder(where: str | Path) -> Path:
    """The folder of an autoencoder: that of a whole Stable Diffusion model lies in `vae`."""
    return Path(where) / "vae" if (Path(where) / "vae").is_dir() else Path(where)


def taesd_files(folder: Path) -> list[Path]:
    """Weights of a TAESD encoder and decoder, as their author publishes them; none if they are not there."""
    found = [sorted(folder.glob(f"*{side}.pth")) for side in ("encoder", "decoder")]
    return [paths[0] for paths in found] if all(found) else []


def is_taesd(folder: Path) -> bool:
    """Whether a folder holds TAESD weights and no model in diffusers layout."""
    return class_of(folder) is None and bool(taesd_files(folder))


def check_autoencoder(where: str | Path) -> list[str]:
    """Check that a folder holds an autoencoder whose files are whole, by their headers.

    Args:
        where: An `AutoencoderKL` or `AutoencoderTiny` in diffusers layout, a Stable Diffusion model that has one, or
            the two files of a TAESD.

    Returns:
        The files that are used.

    Raises:
        InputError: There is none, or it is damaged.
    """
    folder = autoencoder_folder(where)
    if is_taesd(folder):
        files = taesd_files(folder)
        problems = [f"{path.name}: truncated or damaged" for path in files if not zipfile.is_zipfile(path)]
    else:
        problems = list(_autoencoder_problems(folder)) if folder.is_dir() else ["no such folder"]
        names = [] if problems else ["config.json", str(weights_file(path.name for path in folder.iterdir()))]
        files = [folder / name for name in names]
    if problems:
        raise InputError(
            "The autoencoder of the textures cannot be used",
            where=f"texture.autoencoder: {where}",
            found="; ".join(problems),
            expected=f"{' or '.join(AUTOENCODERS)} in diffusers layout with whole *.safetensors, or the files "
            "*_encoder.pth and *_decoder.pth of a TAESD",
            fix="copy the model again, name another one, or set space: pixel",
        )
    return [str(path) for path in files]


def _autoencoder_problems(folder: Path) -> Iterator[str]:
    kind = class_of(folder)
    if kind not in AUTOENCODERS:
        yield f"config.json: of class {kind}" if kind else "config.json: missing, or no JSON"
        return
    name = weights_file(path.name for path in folder.iterdir())
    if name is None:
        yield "no weights as diffusion_pytorch_model.safetensors (or .fp16.safetensors)"
        return
    try:
        shapes_in(folder / name)
    except SafetensorError as error:
        yield f"{name}: truncated or damaged, {(folder / name).stat().st_size:,} bytes ({error})"


def check_base(folder: str | Path, *, latent: bool = True, block: int | None = None) -> list[str]:
    """Check that a folder holds a Stable Diffusion 1.x/2.x model whose files are whole and fit together.

    Configurations are read, and of the weights the headers, which hold their size and the shapes in them.

    Args:
        folder: A model in diffusers layout.
        latent: Whether its autoencoder is needed.
        block: Edge of the pixel blocks that become its channels, if it works on pixels.

    Returns:
        The files that are used.

    Raises:
        InputError: With every problem at once.
    """
    folder = Path(folder)
    parts = ["unet", "scheduler", *(["vae"] if latent else [])]
    problems = list(_problems(folder, parts, block)) if folder.is_dir() else ["no such folder"]
    if problems:
        raise InputError(
            "The base model of the textures cannot be used",
            where=f"texture.base: {folder}",
            found="; ".join(problems),
            expected=f"a Stable Diffusion 1.x/2.x model in diffusers layout: {', '.join(f'{part}/' for part in parts)} "
            "with their configurations and whole *.safetensors",
            fix=f"delete {folder / CHECKSUMS} and rerun snakemake, which fetches damaged files again"
            if (folder / CHECKSUMS).exists()
            else "copy the model again, name another one, or set base: scratch to train without pretraining",
        )
    weights = [
        f"{part}/{weights_file(path.name for path in (folder / part).iterdir())}" for part in parts if part in CLASSES
    ]
    files = [str(folder / name) for name in [*(f"{part}/{CONFIGS[part]}" for part in parts), *weights]]
    return files + text_files(folder)


def fetch_base(*, hub_id: str, checksums: Path) -> None:
    """Stage `texture_base`: fetch a model from the Hugging Face hub; intact files are not fetched again.

    It is a Stable Diffusion model, or an autoencoder by itself.

    Args:
        hub_id: `owner/name` on the hub.
        checksums: File to write once all is there, for `sha256sum --check`; its folder gets the parts that are needed.

    Raises:
        InputError: The hub cannot be reached and the folder holds no such model, the disk is full, a file arrived
            damaged, or the model cannot be used.
    """
    folder = checksums.parent
    if damaged := _fetch(hub_id, folder):
        raise InputError(
            f"Files of {hub_id} arrived damaged",
            where=folder,
            found=", ".join(damaged),
            expected="the checksums that the hub states",
            fix="run the same command again: it fetches these files anew",
        )
    used = check_base(folder) if (folder / "unet").is_dir() else check_autoencoder(folder)
    lines = [f"{_sha256(path)}  {Path(path).relative_to(folder)}\n" for path in used]
    with atomic_path(checksums) as scratch:
        scratch.write_text("".join(lines))


def _fetch(hub_id: str, folder: Path) -> list[str]:
    """Fetch what is missing or not intact; gives what arrived damaged."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        model = HfApi().model_info(hub_id, files_metadata=True)
        if model.siblings is None:
            raise ValueError("the hub lists no files of this model")
        files = {item.rfilename: item for item in model.siblings}
        wanted = {name: files[name] for name in _needed(files)}
        for name, item in wanted.items():
            if not _intact(folder / name, item):
                (folder / name).unlink(missing_ok=True)
        snapshot_download(hub_id, revision=model.sha, local_dir=folder, allow_patterns=list(wanted))
        return [name for name, item in wanted.items() if not _intact(folder / name, item)]
    except Exception as error:  # the errors of the client's HTTP library are of no common kind
        if disk_is_full(error):
            raise disk_full(folder, error) from error
        _accept_copy(folder, hub_id, f"{type(error).__name__}: {error}".splitlines()[0])
        return []


def _needed(names: Iterable[str]) -> list[str]:
    """Configurations and weights of the parts that are used, among the files of a repository."""
    chosen = []
    for part, config in CONFIGS.items():
        there = [name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")]
        chosen += [f"{part}/{name}" for name in (config, weights_file(there)) if name in there]
    if f"unet/{CONFIGS['unet']}" not in chosen:  # an autoencoder by itself
        outside = [name for name in names if "/" not in name]
        chosen += [name for name in ("config.json", weights_file(outside)) if name in outside]
    return chosen + [name for name in TOKENS if name in names]


def _accept_copy(folder: Path, hub_id: str, reason: str) -> None:
    """Without the hub, take a copy that somebody put into the folder."""
    if not folder.is_dir():
        raise InputError(
            f"The base model {hub_id} is no folder here and could not be fetched from the Hugging Face hub",
            where="texture.base",
            found=reason,
            expected=f"the hub, or the model in {folder}",
            fix=f"on a machine with network: `hf download {hub_id} --local-dir {folder}`, then copy that folder to "
            f"{folder.absolute()}; or set texture.base to a folder you have, or to scratch",
        )
    logger.warning("the hub cannot confirm the checksums (%s); using the files in %s as they are", reason, folder)


def _intact(path: Path, item: "RepoSibling") -> bool:
    """Whether a file is what the hub says: SHA-256 of large files, git's SHA-1 of small ones."""
    if not path.exists():
        return False
    if item.lfs is not None:
        return _sha256(path) == item.lfs.sha256
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == item.blob_id


def _sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _problems(folder: Path, parts: list[str], block: int | None) -> Iterator[str]:
    configs = {}
    for part in parts:
        name = f"{part}/{CONFIGS[part]}"
        try:
            configs[part] = json.loads((folder / name).read_text())
        except (OSError, ValueError) as error:
            yield f"{name}: {'missing' if isinstance(error, FileNotFoundError) else error}"
            continue
        if part in CLASSES:
            yield from _unfit_config(name, configs[part], CLASSES[part])
            yield from _unfit_weights(folder, part, configs[part])
    yield from _text_problems(folder, configs.get("unet", {}))
    channels = [configs.get(part, {}).get(key) for part, key in (("unet", "in_channels"), ("vae", "latent_channels"))]
    if None not in channels and channels[0] != channels[1]:
        yield f"a UNet of {channels[0]} input channels for latents of {channels[1]} (an inpainting model has 9)"
    if block and channels[0] not in (None, block**2):
        fitting = math.isqrt(channels[0])
        advice = f"set texture.block to {fitting}" if fitting**2 == channels[0] else "set texture.space to latent"
        yield f"a UNet of {channels[0]} input channels for pixel blocks of {block} x {block}: {advice}"


def _text_problems(folder: Path, unet: dict) -> Iterator[str]:
    """What is wrong with a text encoder that is there; there need not be one."""
    for weights in text_files(folder)[1:2]:
        try:
            shapes = shapes_in(Path(weights))
            width = next(shape[1] for name, shape in shapes.items() if name.endswith("token_embedding.weight"))
        except (SafetensorError, StopIteration) as error:
            yield f"{TEXT}/{Path(weights).name}: truncated, damaged, or not CLIP's ({error})"
            continue
        if width != unet.get("cross_attention_dim"):
            yield f"a text encoder of {width} features for a UNet of {unet.get('cross_attention_dim')}"


def _unfit_config(name: str, config: dict, kind: str) -> Iterator[str]:
    if config.get("_class_name") != kind:
        yield f"{name}: of class {config.get('_class_name')}, not {kind}"
    if extra := [key for key in EXTRAS if config.get(key) is not None]:
        yield f"{name}: {', '.join(extra)} set, as in Stable Diffusion XL and upscalers"


def _unfit_weights(folder: Path, part: str, config: dict) -> Iterator[str]:
    name = weights_file(path.name for path in (folder / part).iterdir())
    if not name:
        yield f"{part}/: no weights as diffusion_pytorch_model.safetensors (or .fp16.safetensors)"
        return
    try:
        shapes = shapes_in(folder / part / name)
        for key, wanted in _expected(part, config).items():
            if shapes.get(key) != wanted:
                yield f"{part}/{name}: {key} is {shapes.get(key, 'missing')}, {CONFIGS[part]} says {wanted}"
                return
    except SafetensorError as error:
        size = (folder / part / name).stat().st_size
        yield f"{part}/{name}: truncated or damaged, {size:,} bytes ({error})"
    except (OSError, KeyError, TypeError) as error:
        yield f"{part}/{name}: {error}"


def shapes_in(path: Path) -> dict[str, list[int]]:
    """Names and shapes of the tensors in a safetensors file, whose length its header tells.

    Raises:
        SafetensorError: The file is truncated, longer than its header says, or no such file.
    """
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def _expected(part: str, config: dict) -> dict[str, list[int]]:
    """Shapes that tell an architecture: first and last layer, width and depth of the levels, size of the text."""
    widths, depth = config["block_out_channels"], config["layers_per_block"]
    prefix, last = ("encoder.", "decoder.") if part == "vae" else ("", "")
    shapes = {f"{prefix}conv_in.weight": [widths[0], config["in_channels"], 3, 3]}
    shapes[f"{last}conv_out.weight"] = [config["out_channels"], widths[0], 3, 3]
    for level, width in enumerate(widths):
        shapes[f"{prefix}down_blocks.{level}.resnets.{depth - 1}.conv2.weight"] = [width, width, 3, 3]
        if "CrossAttn" in config["down_block_types"][level]:
            key = f"down_blocks.{level}.attentions.{depth - 1}.transformer_blocks.0.attn2.to_k.weight"
            shapes[key] = [width, config["cross_attention_dim"]]
    return shapes
