"""What a network learns from: batches that are drawn on the CPU, and their loss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Objective:
    """What a training asks for, step by step. Nothing is random but `draw`.

    So a batch can be drawn while a GPU still computes, and be learned from in parts where the GPU is too small.

    Attributes:
        draw: Draws a batch on the CPU with everything that is random in it: examples, their noise and time steps. The
            first axis of all its tensors counts the examples. All randomness comes from the generator it is handed.
        loss: The mean loss of the examples of a batch, or of a part of one, which is on the model's device.
    """

    draw: Callable[[torch.Generator], Batch]
    loss: Callable[[Batch], Tensor]


def in_parts(batch: Batch, count: int, device: torch.device) -> Iterator[tuple[Batch, float]]:
    """Split a batch into parts of equal size, to within one example, and move one after the other to a device.

    Yields:
        A part, and its share of the examples.
    """
    examples = len(batch[0])
    for part in zip(*(tensor.tensor_split(min(count, examples)) for tensor in batch)):
        yield to_device(part, device), len(part[0]) / examples


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device; to a GPU, from page-locked memory, so that nothing waits for the copy."""
    if device.type != "cuda":
        return batch
    return tuple(tensor.pin_memory().to(device, non_blocking=True) for tensor in batch)
