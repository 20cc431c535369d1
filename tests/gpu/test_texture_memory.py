"""The memory that fine-tuning a base is said to take, beside what it takes; skipped where there is no GPU."""

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from cellcascade.config.texture import Texture, TextureTraining
from cellcascade.diffusion.process import diffusion_loss, noise_schedule
from cellcascade.diffusion.texture import memory
from cellcascade.diffusion.texture.model import TextureModel
from cellcascade.diffusion.texture.spaces import LatentSpace
from cellcascade.learning import training
from cellcascade.learning.device import autocast

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
WIDTHS = (160, 320, 640, 640)  # half of Stable Diffusion's


@pytest.mark.parametrize("trainable", ["all", "controlnet"])
@pytest.mark.parametrize("frugal", [True, False])
def test_the_estimate_is_within_a_fifth_of_the_measured_peak(trainable, frugal):
    train = TextureTraining(gradient_checkpointing=frugal)
    block, device = Texture(base="sd", space="latent", trainable=trainable, train=train), torch.device("cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, block_out_channels=WIDTHS)
    levels = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    space = LatentSpace(128, AutoencoderKL(block_out_channels=(32, 32, 32, 32), **levels), 64)
    parts = unet, ControlNetModel.from_unet(unet, conditioning_channels=5), noise_schedule(1000), space
    model = TextureModel(*parts, block, torch.zeros(1, 77, 768)).to(device)
    state, batch = training._State(model, block.training, device, 0.0), block.training.batch_size

    def losses():
        for _ in range(2):
            clean, noise = torch.randn(2, batch, 4, 64, 64, device=device)
            hint, steps = torch.randn(batch, 5, 512, 512, device=device), torch.randint(1000, (batch,), device=device)
            with autocast(device, "bf16"):
                yield diffusion_loss(lambda x, t, hint=hint: model(x, t, hint), clean, steps, noise, model.schedule)

    for _ in range(2):
        state.gradients(losses())
        state.step()
    trained = sum(p.numel() for p in model.trained_parameters())
    counts = memory.Counts(trained, sum(p.numel() for p in model.parameters()) - trained)
    kept = memory.activations(unet.config, space.hint_edge, pixel=False, checkpointing=frugal)
    told = memory.estimate(counts, kept, block.training).total - memory.CUDA_BYTES
    assert told == pytest.approx(torch.cuda.max_memory_allocated() - before, rel=0.2)
