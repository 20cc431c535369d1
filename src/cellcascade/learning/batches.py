"""Work on many cells, a batch at a time: always of the same shape, and smaller where the GPU is too small."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from cellcascade.core.errors import InputError
from cellcascade.core.logs import progress

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def fixed_batches(items: Sequence[Item], size: int) -> Iterator[tuple[list[Item], int]]:
    """Split `items` into batches of exactly `size`, the last filled up by repeating its last item.

    A constant batch shape keeps results bit-identical however the work is sharded: convolution
    kernels may round differently for another batch size.

    Yields:
        The batch, and how many of its items are real.
    """
    for start in range(0, len(items), size):
        batch = list(items[start : start + size])
        yield batch + [batch[-1]] * (size - len(batch)), len(batch)


def in_batches(
    work: Callable[[list[Item]], Iterable[Result]], items: Sequence[Item], size: int, *, what: str, setting: str
) -> Iterator[tuple[Item, Result]]:
    """Do `work` on batches of `size` items, and on half as many from where a GPU's memory does not suffice.

    Args:
        work: Gives one result for each item of a batch.
        items: What to work on.
        size: Items a batch.
        what: Name of the items, for progress and messages.
        setting: The setting that `size` comes from, for messages.

    Yields:
        Each item and its result.

    Raises:
        InputError: Not even one item fits the GPU's memory.
    """
    yield from progress(_results(work, items, size, what, setting), total=len(items), what=what)


def _results(
    work: Callable[[list[Item]], Iterable[Result]], items: Sequence[Item], size: int, what: str, setting: str
) -> Iterator[tuple[Item, Result]]:
    done = 0
    while done < len(items):
        batch, count = next(fixed_batches(items[done : done + size], size))
        try:
            results: Iterable[Result] | None = work(batch)
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise InputError(
                    f"The GPU is too small for {what}",
                    where=f"config: {setting}",
                    found=str(error).splitlines()[0],
                    expected="enough memory for a batch of one",
                    fix="take a GPU with more memory, or set device: cpu; what other jobs made is kept",
                ) from error
            results = None
        if results is None:  # only here, when the error has let go of what it holds, can the memory be given back
            logger.warning(
                "the GPU is too small for %d %s at once (%s): going on with %d", size, what, setting, size // 2
            )
            size //= 2
            torch.cuda.empty_cache()
            continue
        yield from zip(batch[:count], results)
        done += count
