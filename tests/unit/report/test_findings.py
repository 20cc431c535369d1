"""The evaluation in the pages: its wording follows the numbers, its tables hold what was measured."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.core.errors import InputError
from cellcascade.evaluation.gain import paired_gain
from cellcascade.report import findings
from tests.unit.report.tables import fid_table, memorisation_table, seg_table


@pytest.mark.parametrize(
    ("shift", "seeds", "kind", "number", "words"),
    [
        (0.0, 3, "good", "Helps", "changes by +0.050, 95 % interval [+0.025, +0.075] (3 seeds, silver truth"),
        (-0.05, 3, "open", "Cannot tell", "The interval contains 0: neither a gain nor a loss is shown"),
        (-0.2, 3, "bad", "Does not help: worse", "−0.150"),
        (0.0, 1, "open", "Cannot tell", "changes by +0.060 (1 seed, silver truth"),
    ],
)
def test_verdict_is_worded_by_the_interval(shift, seeds, kind, number, words):
    seg = seg_table(shift=shift, seeds=seeds)
    found = findings.verdict({"seg": seg, "gain": paired_gain(seg)})
    assert (found.kind, found.number) == (kind, number)
    assert words in found.text


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ([0.85, 0.86, 0.87], "not shown to differ from pasting copies of the real cells into such images: +0.010"),
        ([0.80, 0.81, 0.82], "better than pasting copies"),
        ([0.90, 0.91, 0.92], "worse than pasting copies"),
        (None, "Copying and pasting the real cells was not tried"),
    ],
)
def test_verdict_compares_with_pasting_the_real_cells(pasted, words):
    seg = seg_table()
    if pasted:
        copies = seg[seg["regime"] == "both"].assign(regime="copy_paste", seg=pasted)
        seg = pd.concat([seg, copies])
    found = findings.verdict({"seg": seg, "gain": paired_gain(seg)})
    assert words in found.text and found.number == "Helps"


def test_verdict_says_for_which_objects():
    seg = seg_table()
    up = {"real": 0.0, "both": 0.1}
    seg["seg_dim"] = seg["seg"] + seg["regime"].map(up).fillna(0)
    seg["seg_border"] = seg["seg"] - 2 * seg["regime"].map(up).fillna(0)
    seg["seg_small"] = 0.5
    tables = {"seg": seg, "gain": paired_gain(seg)}
    found = findings.verdict(tables).text
    assert (
        "By kind of object, it is better for the dimmest fifth (+0.150); worse for those cut by the border (−0.150)."
        in found
    )
    rows = findings.segmentation(tables).objects
    assert [row["objects"] for row in rows] == [
        "all",
        "the dimmest fifth",
        "the smallest fifth",
        "those cut by the border",
    ]
    assert rows[1]["gains"][0][0] == "+0.150" and rows[1]["gains"][1] == ("–", "")


def test_verdict_says_what_average_precision_gains():
    seg = seg_table()
    seg["ap_50"], seg["ap_90"] = seg["regime"].map({"real": 0.6, "both": 0.68}), 0.5
    tables = {"seg": seg, "gain": paired_gain(seg)}
    assert "average precision at an overlap of 0.50 +0.080." in findings.verdict(tables).text
    assert [row["objects"] for row in findings.segmentation(tables).objects][1:] == [
        "average precision at an overlap of 0.50",
        "average precision at an overlap of 0.90",
    ]


def test_precision_is_compared_at_the_highest_recall_that_all_networks_reach():
    seg = seg_table()
    seg["precision_at_80"], seg["precision_at_90"] = seg["regime"].map({"real": 0.9, "both": 0.95}), 0.5
    seg.loc[seg["seed"] == seg["seed"].max(), "precision_at_90"] = np.nan
    tables = {"seg": seg, "gain": paired_gain(seg)}
    assert [row["objects"] for row in findings.segmentation(tables).objects] == [
        "all",
        "precision where 80 % are found",
    ]
    assert "precision where 80 % are found +0.050." in findings.verdict(tables).text


def test_verdict_says_what_to_switch_on_where_nothing_was_measured():
    nothing = findings.verdict({})
    assert nothing.number == "Not measured" and "evaluation.regimes" in nothing.text
    seg = seg_table().query("regime == 'real'")
    alone = findings.verdict({"seg": seg, "gain": paired_gain(seg)})
    assert alone.kind == "open" and "real and both" in alone.text


def test_the_verdict_rests_on_the_truth_with_most_objects():
    seg = pd.concat([seg_table(), seg_table(shift=-0.2, reference="gold", objects=29)])
    assert findings.verdict({"seg": seg, "gain": paired_gain(seg)}).number == "Helps"
    assert [table["title"] for table in findings.segmentation({"seg": seg}).tables] == [
        "Silver truth",
        "Gold truth",
    ]


def test_seg_table_holds_means_spreads_and_gains():
    seg = seg_table()
    rows = findings.segmentation({"seg": seg, "gain": paired_gain(seg)}).tables[0]["rows"]
    assert [row["regime"] for row in rows] == ["None", "Real", "Synthetic", "Both"]
    assert [row["seg"] for row in rows] == ["0.470", "0.820 ± 0.020", "0.820 ± 0.017", "0.870 ± 0.010"]
    assert [row["gain"] for row in rows] == ["−0.350", "–", "0.000", "+0.050"]
    assert rows[3]["scores"] == ["0.900", "0.800", "0.850"] and rows[3]["strict"] == ["0.700", "0.200"]


def test_features_pair_up_and_keep_each_warning_once():
    found = findings.features(fid_table())
    assert found.warnings == ["FID of 40 images is biased"]
    assert found.rows[0]["real"] == ("9", "[8, 10]") and found.rows[0]["synthetic"][0] == "26.5"
    assert found.rows[1]["real"] == ("0.0003", "[−0.001, 0.002]")


def test_memorisation_is_judged_by_its_excess_over_real_cells():
    rows = findings.memorisation(memorisation_table())
    assert [row["kind"] for row in rows] == ["good", "bad"]
    assert rows[0]["words"].startswith("Masks: no sign of copying. 4.0 % of")
    assert rows[1]["words"].startswith("Cell images: copies are likely. 17.0 % of")
    assert rows[0]["words"].endswith("nearest training cell is 0.92 times that of real test cells")
    few = findings.memorisation(memorisation_table(n_real_test=7))[1]
    assert few["kind"] == "open" and few["excess"] == "–" and few["ratio"] == "0.92"


def test_missing_columns_and_files_are_named(tmp_path):
    (tmp_path / "seg.csv").write_text("dataset,seg\nTOY,0.5\n")
    with pytest.raises(InputError, match="n_objects"):
        findings.read_evaluation({"seg": tmp_path / "seg.csv"})
    with pytest.raises(InputError, match="gain.csv"):
        findings.read_evaluation({"gain": tmp_path / "gain.csv"})
    (tmp_path / "fid.csv").write_text(",".join(findings.COLUMNS["fid"]) + "\n")
    assert findings.read_evaluation({"fid": tmp_path / "fid.csv", "other": tmp_path / "other.csv"}) == {}
