"""The gain by synthetic images, paired by seed, from tables of SEG."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from cellcascade.evaluation.gain import GAIN_COLUMNS, GAIN_KEYS, gain_over_replicates, paired_gain


def models(values: dict[str, list[float]], **columns: object) -> pd.DataFrame:
    """Rows of seg.csv: SEG of each regime, by seed."""
    rows = [
        {
            "dataset": "A",
            "regime": regime,
            "train_frames": 2,
            "seed": seed,
            "reference": "gold",
            "seg": value,
            **columns,
        }
        for regime, scores in values.items()
        for seed, value in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def test_gain_is_paired_by_seed():
    real, both = [0.70, 0.90, 0.80, 0.60], [0.75, 0.93, 0.86, 0.62]
    table = models({"both": both, "real": real}).sample(frac=1, random_state=0)
    (row,) = paired_gain(table).to_dict("records")
    interval = ttest_rel(both, real).confidence_interval(0.95)
    assert (row["dataset"], row["reference"], row["train_frames"], row["regime"]) == ("A", "gold", 2, "both")
    assert row["seeds"] == 4 and row["gain"] == pytest.approx(0.04)
    assert (row["low"], row["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (row["over_mean"], row["regime_mean"]) == (pytest.approx(0.75), pytest.approx(0.79))
    assert row["over_std"] == pytest.approx(np.std(real, ddof=1))
    assert row["regime_std"] == pytest.approx(np.std(both, ddof=1))


def test_gain_leaves_out_seeds_without_a_partner_and_keeps_groups_apart():
    table = pd.concat(
        [
            models({"real": [0.5, 0.7], "synthetic": [0.6, 0.9, 0.1]}),
            models({"real": [0.8], "both": [0.7]}, reference="silver"),
            models({"both": [0.9]}, train_frames=5),
        ]
    )
    gain = paired_gain(table).set_index(["reference", "train_frames", "regime"])
    assert gain.index.tolist() == [("gold", 2, "synthetic"), ("silver", 2, "both")]
    assert gain["gain"].tolist() == pytest.approx([0.15, -0.1]) and gain["seeds"].tolist() == [2, 1]
    single = gain.loc[("silver", 2, "both"), ["low", "high", "over_std", "regime_std"]]
    assert single.isna().all() and gain.iloc[0].notna().all()


def test_the_gain_is_told_for_each_kind_of_objects_that_was_measured():
    real, both = models({"real": [0.7, 0.8]}, seg_dim=0.5), models({"both": [0.7, 0.8]}, seg_dim=0.75)
    both["seg_touching"] = real["seg_touching"] = np.nan
    gain = paired_gain(pd.concat([real, both])).set_index("objects")["gain"]
    assert gain.to_dict() == {"all": pytest.approx(0), "dim": pytest.approx(0.25)}


def test_average_precision_has_gains_of_its_own_which_replicates_leave_out():
    real, both = models({"real": [0.7, 0.8]}, ap_50=0.5), models({"both": [0.8, 0.9]}, ap_50=0.9)
    gain = paired_gain(pd.concat([real, both]))
    assert gain.set_index(["objects", "measure"])["gain"].to_dict() == {
        ("all", "seg"): pytest.approx(0.1),
        ("all", "ap_50"): pytest.approx(0.4),
    }
    (row,) = gain_over_replicates(gain).to_dict("records")
    assert row["gain"] == pytest.approx(0.1) and row["datasets"] == 1


def test_over_replicates_the_interval_is_that_of_their_means():
    gains = [
        paired_gain(models({"real": [0.5, 0.5], "both": [0.5 + 2 * up, 0.5]}, dataset=f"A_{up}"))
        for up in (0.1, 0.2, 0.3)
    ]
    (row,) = gain_over_replicates(pd.concat(gains)).to_dict("records")
    expected = ttest_1samp([0.1, 0.2, 0.3], 0).confidence_interval(0.95)
    assert (row["regime"], row["over"], row["datasets"], row["gain"]) == ("both", "real", 3, pytest.approx(0.2))
    assert (row["low"], row["high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_one_row_of_the_untrained_generalist_stands_for_all_seeds():
    gain = paired_gain(models({"none": [0.6], "real": [0.7, 0.9, 0.8]}))
    assert gain["seeds"].tolist() == [3] and gain["gain"].tolist() == pytest.approx([-0.2])
    assert gain["regime_std"].tolist() == [0]


def test_gain_without_real_models_has_no_rows():
    assert paired_gain(models({"both": [0.7, 0.8]})).empty
    assert paired_gain(models({"both": [0.7]}).iloc[:0]).columns.tolist() == GAIN_KEYS + GAIN_COLUMNS


def test_gain_refuses_a_model_that_is_there_twice():
    with pytest.raises(ValueError, match="duplicate"):
        paired_gain(pd.concat([models({"real": [0.7]})] * 2))


def test_both_is_compared_with_pasted_real_cells_as_well():
    gain = paired_gain(models({"real": [0.6, 0.7], "copy_paste": [0.7, 0.8], "both": [0.75, 0.83]}))
    assert gain[["regime", "over"]].to_numpy().tolist() == [
        ["copy_paste", "real"],
        ["both", "real"],
        ["both", "copy_paste"],
    ]
    assert gain["gain"].tolist() == pytest.approx([0.1, 0.14, 0.04])
