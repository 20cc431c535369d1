"""How much memory a training takes, beside the bytes of real tensors and the values that PyTorch really keeps."""

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from cellcascade.config.texture import Texture
from cellcascade.config.values import FineTuning
from cellcascade.diffusion.texture import memory, model
from cellcascade.learning import training
from tests.sd_base import make_base
from tests.unit.diffusion.texture.quick import settings

STABLE_DIFFUSION_1 = {"sample_size": 64, "cross_attention_dim": 768, "block_out_channels": (320, 640, 1280, 1280)}


def size(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("trainable", ["controlnet", "controlnet+decoder", "all"])
@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_weights_gradients_optimiser_and_average_are_counted_to_a_percent(base, tmp_path, trainable, space):
    block = settings(base=base, space=space, trainable=trainable)
    told, network = memory.of_base(block, 32), model.build(block, 32)
    state = training._State(network, block.training, torch.device("cpu"), 0.0)
    sum(p.sum() for p in state.parameters).backward()
    state.optimizer.step()
    kept = [value for slots in state.optimizer.state.values() for value in slots.values() if value.numel() > 1]
    assert told.weights == pytest.approx(size(network.parameters()), rel=0.01)
    assert told.gradients == pytest.approx(size(p.grad for p in state.parameters), rel=0.01)
    assert told.optimiser == pytest.approx(size(kept), rel=0.01)
    assert told.average == pytest.approx(size(state.average.shadow_params), rel=0.01)


def kept_values(unet, hint_edge, *, embedding, channels):
    """Values that PyTorch keeps for the gradient of one example: nothing is computed on the `meta` device."""
    controlnet = ControlNetModel.from_unet(
        unet,
        conditioning_embedding_out_channels=embedding,
        conditioning_channels=channels,
        load_weights_from_unet=False,
    ).to("meta")
    if unet.is_gradient_checkpointing:
        controlnet.enable_gradient_checkpointing()
    weights = {p.untyped_storage()._cdata for part in (unet, controlnet) for p in part.parameters()}
    kept, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()._cdata
        table = tensor.dim() > 2 and tensor.shape[-1] == tensor.shape[-2] and tensor.shape[-3] <= 16  # of attention
        if storage not in weights and not table:  # kernels for GPUs keep no such table
            kept[storage] = max(kept.get(storage, 0), tensor.numel())
            alive.append(tensor)
        return tensor

    edge, wide = unet.config.sample_size, unet.config.cross_attention_dim
    noisy, hint = (torch.empty(1, *shape, device="meta") for shape in ((4, edge, edge), (channels, *[hint_edge] * 2)))
    given = noisy, torch.zeros(1, dtype=torch.long, device="meta"), torch.empty(1, 1, wide, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        down, middle = controlnet(*given, hint, return_dict=False)
        unet(*given, down_block_additional_residuals=down, mid_block_additional_residual=middle)
    return sum(kept.values())


@pytest.mark.parametrize("frugal", [False, True])
def test_activations_of_stable_diffusion_are_estimated_within_a_fifth(frugal):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**STABLE_DIFFUSION_1).train()
        if frugal:
            unet.enable_gradient_checkpointing()
        found = kept_values(unet, 512, embedding=(16, 32, 96, 256), channels=5)
    told = memory.activations(dict(unet.config), 512, pixel=False, checkpointing=frugal)
    assert told == pytest.approx(found, rel=0.2)


def test_what_fits_a_card_is_said():
    counts = memory.Counts(trained=1_221_000_000, frozen=84_000_000)  # Stable Diffusion 1.5 and its ControlNet
    kept, training_ = 132_000_000, Texture(base="sd", space="latent").training
    whole = memory.estimate(counts, kept, training_)
    assert "fits 40 GB" in str(whole) and 25 < whole.total / memory.GIB < 38
    eight = memory.estimate(counts, kept, training_.model_copy(update={"optimizer": "adamw8bit"}))
    assert eight.optimiser * 4 == whole.optimiser
    part = memory.estimate(memory.Counts(361_000_000, 944_000_000), kept, training_)
    assert "fits 16 GB" in str(part)
    assert "fits 8 GB" in str(memory.estimate(memory.Counts(46_000_000, 0), 16_000_000, FineTuning(batch_size=16)))
    assert "more than 80 GB" in str(memory.estimate(memory.Counts(10**10, 0), 0, training_))


def test_another_autoencoder_counts_in_place_of_the_bases_own(base, tmp_path):
    other = make_base(tmp_path / "other")
    own = memory.of_base(settings(base=base, space="latent"), 32)
    assert memory.of_base(settings(base=base, space="latent", autoencoder=other), 32) == own
    assert own.weights > memory.of_base(settings(base=base, space="pixel"), 32).weights
