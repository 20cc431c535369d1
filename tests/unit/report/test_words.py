"""Numbers and names read well."""

import numpy as np
import pandas as pd

from cellcascade.report import words


def test_properties_read_as_text():
    assert words.readable("neighbour_distance_um") == "neighbour distance (µm)"
    assert words.readable("intensity_std_dim") == "intensity std., dim cells"
    assert words.readable("slice_correlation_2") == "slice correlation, 2 apart"


def test_differences_carry_their_sign_unless_they_round_to_zero():
    assert [words.signed(value) for value in (0.05, -0.0501, -0.0001, np.nan)] == ["+0.050", "−0.050", "0.000", "–"]
    assert words.interval(-0.1, 0.2) == "[−0.100, +0.200]" and words.interval(np.nan, 0.2) == ""


def test_a_single_value_has_no_spread():
    assert words.mean_and_spread(pd.Series([0.5])) == "0.500" and words.mean_and_spread(pd.Series(dtype=float)) == "–"
    assert words.with_spread(10, 2) == "10 ± 2" and words.with_spread(10, np.nan) == "10"
    assert words.counted(1, "seed") == "1 seed" and words.counted(3, "seed") == "3 seeds"
