"""What Stable Diffusion is told when nothing is said: the embedding of the empty prompt, by the base's text encoder.

The text encoder of Stable Diffusion 1.x and 2.x is that of CLIP: a transformer whose tokens see themselves and those
before them. It is needed for one prompt, once a training, so it is computed here from its weights.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from cellcascade.diffusion.texture.pretrained import TEXT, VOCABULARY, text_files, weights_file

logger = logging.getLogger(__name__)

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
ACTIVATIONS = {"quick_gelu": lambda data: data * torch.sigmoid(1.702 * data), "gelu": functional.gelu}


def embedding_of_nothing(base: Path) -> Tensor | None:
    """Embedding of the empty prompt `(1, tokens, features)`; `None`, and a message, if the base has no text encoder."""
    if not text_files(base):
        logger.warning(
            "%s has no text encoder or tokenizer (%s/ with *.safetensors and %s): one token of zeros stands for the "
            "empty prompt, which the pretrained UNet has never seen",
            *(base, TEXT, VOCABULARY),
        )
        return None
    folder = base / TEXT
    config = json.loads((folder / "config.json").read_text())
    name = weights_file(path.name for path in folder.iterdir())
    weights = {key.removeprefix("text_model."): value.float() for key, value in load_file(folder / str(name)).items()}
    with torch.no_grad():
        return encode(torch.tensor([tokens_of_nothing(base, config["max_position_embeddings"])]), weights, config)


def tokens_of_nothing(base: Path, length: int) -> list[int]:
    """The tokens of the empty prompt: its beginning, its end, and padding, by the base's tokenizer."""
    vocabulary = json.loads((base / VOCABULARY).read_text())
    special = base / "tokenizer/special_tokens_map.json"
    padding = json.loads(special.read_text()).get("pad_token", END) if special.exists() else END
    if isinstance(padding, Mapping):
        padding = padding["content"]
    return [vocabulary[BEGIN], vocabulary[END], *[vocabulary[padding]] * (length - 2)]


def encode(tokens: Tensor, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Tensor:
    """Embed tokens as CLIP's text encoder does.

    Args:
        tokens: Numbers of tokens `(b, t)`.
        weights: The encoder's weights by their names, without `text_model.`.
        config: Its configuration.

    Returns:
        The last layer's output, normalised `(b, t, features)`.
    """
    data = weights["embeddings.token_embedding.weight"][tokens]
    data = data + weights["embeddings.position_embedding.weight"][: tokens.shape[1]]
    for layer in range(config["num_hidden_layers"]):
        start = f"encoder.layers.{layer}."
        own = {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}
        data = data + _attention(_normalised(data, own, "layer_norm1", config), own, config["num_attention_heads"])
        inner = _linear(_normalised(data, own, "layer_norm2", config), own, "mlp.fc1")
        data = data + _linear(ACTIVATIONS[config["hidden_act"]](inner), own, "mlp.fc2")
    return _normalised(data, weights, "final_layer_norm", config)


def _attention(data: Tensor, weights: Mapping[str, Tensor], heads: int) -> Tensor:
    parts = (_linear(data, weights, f"self_attn.{name}_proj") for name in "qkv")
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
    seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    return _linear(seen.transpose(1, 2).flatten(-2), weights, "self_attn.out_proj")


def _linear(data: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    return functional.linear(data, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _normalised(data: Tensor, weights: Mapping[str, Tensor], name: str, config: Mapping[str, Any]) -> Tensor:
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return functional.layer_norm(data, scale.shape, scale, shift, config.get("layer_norm_eps", 1e-5))
