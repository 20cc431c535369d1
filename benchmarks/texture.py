"""Slices textured a second: our sampling in batches against diffusers' ControlNet pipeline, slice by slice, in one run.

python benchmarks/texture.py [--slices 64] [--steps 20]
The pipeline needs transformers: .venv/bin/pip install -e '.[benchmarks]'

Both use the same networks with random weights, the same hints, noise and steps. On a CPU the networks are tiny; with a
GPU there is a second row, at the size of Stable Diffusion 1.5.
"""

import argparse
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel

from cellcascade.config.settings import Texture
from cellcascade.diffusion.texture.hints import CellHints
from cellcascade.diffusion.texture.model import TextureModel, build
from cellcascade.diffusion.texture.sampling import draw
from cellcascade.learning.device import autocast

TINY = {
    "size": 32,
    "unet": {
        "sample_size": 16,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "cross_attention_dim": 32,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "vae": {"block_out_channels": (16, 32), "norm_num_groups": 8},
}
STABLE_DIFFUSION = {
    "size": 128,
    "unet": {"sample_size": 64, "cross_attention_dim": 768},
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
}


def make_model(sizes: dict, folder: Path, device: torch.device) -> TextureModel:
    """The texture model on a base with random weights, written and read as a pretrained one is."""
    torch.manual_seed(0)
    levels = len(sizes["vae"]["block_out_channels"])
    UNet2DConditionModel(**sizes["unet"]).save_pretrained(folder / "unet")
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * levels, "up_block_types": ("UpDecoderBlock2D",) * levels}
    AutoencoderKL(**sizes["vae"], **kinds).save_pretrained(folder / "vae")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    return build(Texture(base=str(folder), space="latent"), sizes["size"]).to(device).eval()


def outlines(size: int, slices: int) -> CellHints:
    """Hints of discs."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radii = np.random.default_rng(0).uniform(0.2, 0.4, slices) * size
    masks = (np.hypot(y, x) < radii[:, None, None]).astype(np.uint8)
    return CellHints.of(masks, *(np.full(slices, level) for level in (0.6, 0.2, 1.0)))


def slice_by_slice(model: TextureModel, seen: CellHints, noise: torch.Tensor, steps: int, output: str) -> list:
    """What diffusers' own pipeline makes of each slice; `output` is `pt` for images or `latent`."""
    pipeline = StableDiffusionControlNetPipeline(
        vae=model.space.vae,
        text_encoder=None,
        tokenizer=None,
        unet=model.unet,
        controlnet=model.controlnet,
        scheduler=model.schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    device = noise.device
    no_text = torch.zeros(1, 1, model.unet.config.cross_attention_dim, device=device)
    common = {"prompt_embeds": no_text, "guidance_scale": 1.0, "num_inference_steps": steps, "output_type": output}
    made = []
    for hint, start in zip(seen.planes(), noise):
        with autocast(device, model.precision):
            image = model.space.hint(hint[None].to(device))
            made.append(pipeline(image=image, latents=start[None], **common).images[0])
    return made


def timed(works: list[Callable[[], object]], device: torch.device) -> list[float]:
    """Seconds that each work takes, the shortest of three; they take turns, because other work disturbs them."""
    seconds = []
    for _ in range(3):
        for work in works:
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return [min(seconds[first :: len(works)]) for first in range(len(works))]


def compare(name: str, sizes: dict, *, slices: int, steps: int, device: torch.device) -> str:
    """A row of the table."""
    settings = Texture(sampling_steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(sizes, Path(folder), device)
    seen = outlines(sizes["size"], slices)
    noise = torch.randn(slices, *model.space.noise_shape, generator=torch.Generator().manual_seed(0)).to(device)
    works = [lambda: slice_by_slice(model, seen, noise, steps, "pt"), lambda: list(draw(model, seen, noise, settings))]
    theirs, ours = timed(works, device)
    images = np.stack(list(draw(model, seen[:4], noise[:4], settings)))
    latents = torch.stack(slice_by_slice(model, seen[:4], noise[:4], steps, "latent")).float()
    other = (model.space.decode(latents)[:, 0].cpu().numpy() + 1) / 2
    return (
        f"| {name} | {slices} | {steps} | {slices / ours:.2f} | {slices / theirs:.2f} | {theirs / ours:.1f} x "
        f"| {np.abs(images - other).max():.0e} |"
    )


def processor(device: torch.device) -> str:
    """Name of what it ran on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} of {cores} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=64, help="slices to texture")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps")
    given = parser.parse_args()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{processor(device)}; torch {torch.__version__}, diffusers {diffusers.__version__}\n")
    print("| networks | slices | steps | slices/s | pipeline, slices/s | ratio | largest difference |")
    print("|---|---|---|---|---|---|---|")
    cases = {"tiny, 32 px": TINY} | (
        {"Stable Diffusion 1.5, 128 px": STABLE_DIFFUSION} if device.type == "cuda" else {}
    )
    for name, sizes in cases.items():
        print(compare(name, sizes, slices=given.slices, steps=given.steps, device=device), flush=True)


if __name__ == "__main__":
    main()
