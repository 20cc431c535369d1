"""Precision at a given recall: of networks that find equally much, which finds less where nothing is? Free of torch."""

from collections.abc import Sequence

import numpy as np


def precision_at_recall(
    hits: np.ndarray, confidence: np.ndarray, n_objects: int, recalls: Sequence[float]
) -> list[float]:
    """The highest precision at which a network still finds so many of the objects.

    Its objects are taken by falling confidence; those of equal confidence together.

    Args:
        hits: Whether each object of the network is true, (n).
        confidence: How sure it is of each, (n).
        n_objects: Reference objects.
        recalls: Shares of these that are to be found.

    Returns:
        The precision at each recall; NaN where even all objects of the network find less.
    """
    order = np.argsort(-confidence, kind="stable")
    found = np.cumsum(np.asarray(hits, bool)[order])
    taken = np.arange(1, len(order) + 1)
    last = np.diff(confidence[order], append=-np.inf) < 0
    precision, recall = (found / taken)[last], (found / n_objects)[last]
    enough = [precision[recall >= least] for least in recalls]
    return [float(chosen.max()) if len(chosen) else np.nan for chosen in enough]
