"""What the models start from: the multiview model's weights, priors, pretrained textures; all checked here. No rules."""

import functools
import sys
from pathlib import Path

from cellcascade.config.values import BUNDLED
from cellcascade.core.errors import InputError
from cellcascade.diffusion.multiview_weights import check_weights
from cellcascade.diffusion.priors import check_prior, files_of as prior_file_names, prior_folder
from cellcascade.diffusion.texture.memory import of_base as memory_of_base
from cellcascade.diffusion.texture.pretrained import CHECKSUMS, check_autoencoder, check_base, is_hub_id

MULTIVIEW_FOLDER = {"bundled": "bundled", "train": "results/shared/models/multiview"}.get(
    CONFIG.multiview.weights, CONFIG.multiview.weights
)


@functools.cache
def check_multiview():
    """Look at the multiview model's files where they are a folder's: others are the package's, or made here."""
    if CONFIG.multiview.folder:
        check_weights(CONFIG.multiview.folder)


def multiview_weights(wildcards):
    """Files of the multiview model, none for the package's own; ends with a message where they cannot be used."""
    if CONFIG.multiview.weights == "bundled":
        return []
    try:
        check_multiview()
    except InputError as error:
        stop({wildcards.dataset: error})
    return [f"{MULTIVIEW_FOLDER}/config.json", f"{MULTIVIEW_FOLDER}/model.safetensors"]


PRIOR = "results/shared/models/prior-"


def prior_crops(wildcards):
    """Crops that the priors learn from; ends with a message if the configuration names no data sets for that."""
    if not CONFIG.prior.data:
        sys.exit(
            "No prior can be trained: name the data sets that it learns from in the configuration, under prior.data"
        )
    return [f"results/{name}/crops.zarr.zip" for name in CONFIG.prior.data]


@functools.cache
def prior_files(base, kind):
    """Checked files of a prior; none for the package's own, and `None` where `base` names no prior."""
    if base == f"{PRIOR}{kind}":  # made here
        return [f"{base}/{name}" for name in prior_file_names(kind)]
    folder = prior_folder(base, kind)
    if folder is None or base == BUNDLED:
        return folder and []
    check_prior(folder, kind)
    return [str(folder / name) for name in prior_file_names(kind)]


def mask_base(wildcards):
    """The prior of masks as input; ends with a message where it cannot be used."""
    try:
        return prior_files(entry(wildcards).mask_ddpm.base, "mask_ddpm") or []
    except InputError as error:
        stop({wildcards.dataset: error})


def hub_folder(name):
    """Folder of a texture base or autoencoder: as configured, or where rule texture_base puts it; else `scratch`."""
    return f"resources/{name}" if is_hub_id(name) else name


def texture_folders(texture):
    """The folders that a texture model starts from, as settings."""
    return {"base": hub_folder(texture.base), "autoencoder": texture.autoencoder and hub_folder(texture.autoencoder)}


def checked_or_fetched(name, check):
    """Checked files of a model in a folder, or the checksums of one that rule texture_base fetches, and checks then."""
    folder = hub_folder(name)
    fetched = [f"{folder}/{CHECKSUMS}"] if is_hub_id(name) else []
    if fetched and not Path(*fetched).exists():
        return fetched
    files = check(folder)
    return fetched or files


@functools.cache
def autoencoder_of(name):
    """Checked files of the autoencoder that a data set's texture model has of its own; none if it needs none."""
    texture = CONFIG.datasets[name].texture
    needed = texture.space == "latent" and texture.autoencoder
    return checked_or_fetched(texture.autoencoder, check_autoencoder) if needed else []


def pixel_block(texture):
    """Edge of the blocks of a texture model that works on pixels."""
    return texture.block if texture.space == "pixel" else None


@functools.cache
def texture_base_of(name):
    """Checked files of a data set's pretrained texture model; none when training from scratch in pixels."""
    texture = CONFIG.datasets[name].texture
    if not texture.pretrained:
        return autoencoder_of(name)
    if (prior := prior_files(texture.base, "texture")) is not None:
        return prior
    own = texture.space == "latent" and not texture.autoencoder
    return checked_or_fetched(
        texture.base, functools.partial(check_base, latent=own, block=pixel_block(texture))
    ) + autoencoder_of(name)


@functools.cache
def say_memory(name):
    """Say what fine-tuning a data set's base takes of a GPU, before a job waits for one."""
    entry = CONFIG.datasets[name]
    texture = entry.texture.model_copy(update=texture_folders(entry.texture))
    if not texture.pretrained or prior_files(texture.base, "texture") is not None:
        return
    if not any(path.endswith(CHECKSUMS) and not Path(path).exists() for path in texture_base_of(name)):
        print(
            f"{name}: fine-tuning {entry.texture.base} takes {memory_of_base(texture, entry.crops.size)}",
            file=sys.stderr,
        )


def texture_base(wildcards):
    """The pretrained texture model as input; ends with a message where it cannot be used."""
    name = CONFIG.models_of(wildcards.dataset)
    try:
        return texture_base_of(name)
    except InputError as error:
        stop({name: error})


def texture_autoencoder(wildcards):
    """The pretrained model again where its autoencoder turns samples into images."""
    name = CONFIG.models_of(wildcards.dataset)
    latent = CONFIG.datasets[name].texture.space == "latent"
    return (autoencoder_of(name) or texture_base(wildcards)) if latent else []
