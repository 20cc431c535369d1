"""Are the weights there that a data set's models start from, and can they be used?"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cellcascade.checks.finding import Finding
from cellcascade.config.datasets import Config
from cellcascade.core.errors import InputError
from cellcascade.diffusion.multiview_weights import check_weights
from cellcascade.diffusion.priors import check_prior, prior_folder
from cellcascade.diffusion.texture.memory import of_base
from cellcascade.diffusion.texture.pretrained import check_autoencoder, check_base, is_hub_id
from cellcascade.evaluation.cellpose.weights import check_start


def weight_findings(config: Config, name: str) -> Iterator[Finding]:
    """Weights that are missing or cannot be used; what the workflow fetches or makes itself is not looked for."""
    for look in _looks(config, name):
        try:
            look()
        except InputError as error:
            found = f"{error.what}: {error.found}; expected {error.expected}"
            yield Finding("weights", found, error.where, error.fix)


def memory_of_tuning(config: Config, name: str) -> str:
    """What fine-tuning a data set's own base takes of a GPU, in words; empty where there is none."""
    texture = config.datasets[name].texture
    if not Path(texture.base).is_dir() or prior_folder(texture.base, "texture"):
        return ""
    return f"fine-tuning {texture.base} takes {of_base(texture, config.datasets[name].crops.size)}"


def _looks(config: Config, name: str) -> Iterator[Callable[[], object]]:
    """What there is to look at, one call each."""
    data = config.datasets[name]
    texture, latent = data.texture, data.texture.space == "latent"
    if data.test_sequence and data.evaluation.regimes:
        yield partial(check_start, data.evaluation.cellpose)
    if data.population.focus:
        yield partial(check_start, config.datasets[config.models_of(name)].evaluation.cellpose)
    if data.has_views and config.multiview.folder:
        yield partial(check_weights, config.multiview.folder)
    if latent and texture.autoencoder and not is_hub_id(texture.autoencoder):
        yield partial(check_autoencoder, texture.autoencoder)
    if of_masks := prior_folder(data.mask_ddpm.base, "mask_ddpm"):
        yield partial(check_prior, of_masks, "mask_ddpm")
    if of_textures := prior_folder(texture.base, "texture"):
        yield partial(check_prior, of_textures, "texture")
    elif texture.pretrained and not is_hub_id(texture.base):
        own = latent and not texture.autoencoder
        yield partial(check_base, texture.base, latent=own, block=None if latent else texture.block)
