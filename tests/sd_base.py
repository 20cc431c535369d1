"""Tiny models with random weights in Stable Diffusion's folder layout, as diffusers writes it."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file

WIDTH = 24  # features of a token
CLIP = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 3}
CLIP |= {"max_position_embeddings": 7, "vocab_size": 5, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}


def make_base(folder: Path, *, variant: str | None = None, **unet) -> str:
    """Write unet/, vae/ and scheduler/; further arguments replace those of the UNet."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        **{
            "sample_size": 16,
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "cross_attention_dim": WIDTH,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        }
        | unet
    ).save_pretrained(folder / "unet", variant=variant)
    make_autoencoder(folder / "vae", variant=variant)
    DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1).save_pretrained(
        folder / "scheduler"
    )
    return str(folder)


def make_autoencoder(folder: Path, *, variant: str | None = None) -> str:
    """Write an autoencoder of 4 latent channels that halves images once."""
    AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ).save_pretrained(folder, variant=variant)
    return str(folder)


def clip_weights() -> dict[str, torch.Tensor]:
    """Random weights of a small text encoder, by the names that CLIP's have."""
    width, inner = WIDTH, CLIP["intermediate_size"]
    shapes = {"embeddings.token_embedding.weight": (CLIP["vocab_size"], width)}
    shapes |= {"embeddings.position_embedding.weight": (CLIP["max_position_embeddings"], width)}
    layers = {f"self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
    layers |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner), "layer_norm1": (width,), "layer_norm2": (width,)}
    parts = {
        f"encoder.layers.{i}.{name}": shape for i in range(CLIP["num_hidden_layers"]) for name, shape in layers.items()
    }
    for name, shape in (parts | {"final_layer_norm": (width,)}).items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(0)
    return {f"text_model.{name}": 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def add_text_encoder(base: Path) -> None:
    """Give a base a text encoder and a tokenizer whose padding differs from its end, as in Stable Diffusion 2."""
    for part in ("text_encoder", "tokenizer"):
        (base / part).mkdir()
    (base / "text_encoder/config.json").write_text(json.dumps(CLIP))
    save_file(clip_weights(), base / "text_encoder/model.safetensors", metadata={"format": "pt"})
    vocabulary = {"!": 0, "a": 1, "b": 2, "<|startoftext|>": 3, "<|endoftext|>": 4}
    (base / "tokenizer/vocab.json").write_text(json.dumps(vocabulary))
    (base / "tokenizer/special_tokens_map.json").write_text(json.dumps({"pad_token": "!"}))
