"""Some of many items."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spaced over them, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[int((index + 0.5) * len(items) / count)] for index in range(count)]
