"""Precision at matched recall."""

import numpy as np
import pytest

from cellcascade.metrics.ranking import precision_at_recall

HITS = np.array([True, False, True, True, False])


def test_precision_is_that_of_the_surest_objects_that_find_enough():
    sure = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    found = precision_at_recall(HITS, sure, 4, [0.25, 0.5, 0.75, 0.8])
    assert found == pytest.approx([1, 0.75, 0.75, np.nan], nan_ok=True)  # 2 of 3, then 3 of 4: more and purer
    shuffled = np.array([4, 2, 0, 3, 1])
    assert precision_at_recall(HITS[shuffled], sure[shuffled], 4, [0.25, 0.5]) == pytest.approx(found[:2])


def test_objects_of_equal_confidence_are_taken_together():
    assert precision_at_recall(HITS, np.full(5, 0.5), 3, [0.1, 1.0]) == pytest.approx([0.6, 0.6])


def test_a_network_that_finds_nothing_reaches_no_recall():
    assert np.isnan(precision_at_recall(HITS[:0], np.zeros(0), 3, [0.5])).all()
