"""Work on many items in several processes, with results in the order of the items. Free of torch."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """Yield the result of each item; some items ahead are worked on meanwhile, and no more than that is in memory.

    Args:
        work: What is done with an item; it and its results are sent between processes.
        items: The items.
        processes: Items worked on at once; 1 works in this process.
    """
    if min(processes, len(items)) < 2:
        yield from map(work, items)
        return
    # A new interpreter would run the script of the Snakemake job again; a fork goes on from here.
    with ProcessPoolExecutor(min(processes, len(items)), multiprocessing.get_context("fork")) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
