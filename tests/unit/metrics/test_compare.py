"""Distributions compared property by property, with known answers."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.metrics.compare import COLUMNS, compare_tables, compare_values


def test_distance_to_itself_is_zero_and_a_shift_counts_in_standard_deviations():
    real = pd.DataFrame({"area": np.random.default_rng(0).normal(100, 10, 200)})
    assert compare_tables(real, real)["w1_over_std"].item() == pytest.approx(0, abs=1e-12)
    shifted = compare_tables(real, real + 7)
    assert list(shifted.columns) == list(COLUMNS)
    assert shifted["w1_over_std"].item() == pytest.approx(7 / real["area"].std(ddof=0))
    assert shifted["shift_over_std"].item() == pytest.approx(7 / real["area"].std(ddof=0))
    assert shifted["synthetic_mean"].item() == pytest.approx(shifted["real_mean"].item() + 7)
    assert shifted["synthetic_median"].item() == pytest.approx(real["area"].median() + 7)


def test_values_that_do_not_vary_give_no_ratio():
    same = pd.DataFrame({"area": [5.0, 5.0]})
    assert compare_tables(same, same + 1)[["w1_over_std", "shift_over_std"]].isna().all(axis=None)


def test_missing_values_leave_empty_columns_and_nan_is_left_out():
    rows = compare_values({"a": ([], [1.0, 3.0, np.nan]), "b": ([2.0], [])}).set_index("property")
    assert rows.loc["a", "n_real"] == 0 and rows.loc["a", "n_synthetic"] == 2
    assert np.isnan(rows.loc["a", "real_mean"]) and np.isnan(rows.loc["a", "w1_over_std"])
    assert rows.loc["a", "synthetic_mean"] == 2 and rows.loc["a", "synthetic_median"] == 2
    assert rows.loc["b", "real_median"] == 2 and np.isnan(rows.loc["b", "synthetic_std"])
    assert list(compare_values({}).columns) == list(COLUMNS)
