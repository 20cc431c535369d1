"""The evaluation in the report: its wording follows the numbers, its tables and pictures hold what was measured."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from matplotlib.figure import Figure

from cellcascade.core.errors import InputError
from cellcascade.data.shards import write_shard
from cellcascade.evaluation.gain import paired_gain
from cellcascade.report import charts
from cellcascade.report import findings as evaluation
from cellcascade.report.figures import figure_uri
from cellcascade.report.sections import Display
from cellcascade.report.segmentation import match, segmented_frame

SEEDS = {"real": [0.80, 0.84, 0.82], "synthetic": [0.83, 0.83, 0.80], "both": [0.86, 0.88, 0.87]}


def seg_table(dataset="TOY", shift=0.0, frames=5, seeds=3, reference="silver", objects=97):
    """Rows of seg.csv: three regimes by seed, and the generalist."""
    rows = [("none", 0, 0.47)]
    rows += [
        (name, seed, seg + shift * (name == "both"))
        for name, segs in SEEDS.items()
        for seed, seg in enumerate(segs[:seeds])
    ]
    table = pd.DataFrame(rows, columns=["regime", "seed", "seg"]).assign(
        dataset=dataset, train_frames=frames, train_slices=np.nan
    )
    table = table.assign(reference=reference, n_objects=objects, precision=0.9, recall=0.8, f1=0.85, f1_60=0.8)
    return table.assign(
        f1_70=0.7, f1_80=0.5, f1_90=0.2, steps=300, diameter=21.5, real_share=0.5, start="scratch", frames=4
    )


def fid_table():
    rows = [
        ("FID", "real-real", 9.0, 8.0, 10.0, "FID of 40 images is biased"),
        ("FID", "real-synthetic", 26.5, 24.0, 29.0, "FID of 40 images is biased"),
        ("KID", "real-real", 0.0003, -0.001, 0.002, np.nan),
        ("KID", "real-synthetic", 0.0123, 0.01, 0.014, np.nan),
    ]
    table = pd.DataFrame(rows, columns=["metric", "pair", "value", "low", "high", "warning"])
    return table.assign(dataset="TOY", features="Inception (2048-d)", n=40)


def distance_table(**values):
    """Rows in the columns of shape.csv: property and its distance."""
    rows = [
        {"property": name, "real_mean": 10.0, "real_std": 2.0, "synthetic_mean": 11.0, "synthetic_std": 1.5}
        | {"w1_over_std": value, "n_real": 50, "n_synthetic": 40}
        for name, value in values.items()
    ]
    return pd.DataFrame(rows)


def memorisation_table(mask=-0.01, image=0.12, n_real_test=200):
    rows = [{"what": what, "share_synthetic": 0.05 + excess, "excess": excess} for what, excess in
            (("mask", mask), ("image", image))]  # fmt: skip
    table = pd.DataFrame(rows).assign(n_synthetic=100, n_real_test=n_real_test, n_train=300, threshold=0.1)
    return table.assign(share_real=0.05, nearest_synthetic_median=0.11, nearest_real_median=0.12)


def all_tables(dataset="TOY", **options):
    seg = seg_table(dataset, **options)
    return {
        "seg": seg,
        "gain": paired_gain(seg),
        "fid": fid_table(),
        "texture": distance_table(intensity_mean=0.31, ring_mean_dim=0.08, power_spectrum_db=np.nan),
        "population": distance_table(neighbour_distance_um=0.22),
        "memorisation": memorisation_table(),
    }


def write_tables(folder, tables):
    """Write tables as CSV files; gives their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return {name: folder / f"{name}.csv" for name in tables}


@pytest.mark.parametrize(
    ("shift", "seeds", "kind", "number", "words"),
    [
        (0.0, 3, "good", "+0.050", "improved the segmentation. 95 % interval [+0.025, +0.075], 3 seeds, silver truth"),
        (-0.05, 3, "open", "0.000", "no gain could be shown: the interval contains 0"),
        (-0.2, 3, "bad", "−0.150", "made the segmentation worse"),
        (0.0, 1, "open", "+0.060", "a single seed has no interval"),
    ],
)
def test_verdict_is_worded_by_the_interval(shift, seeds, kind, number, words):
    seg = seg_table(shift=shift, seeds=seeds)
    found = evaluation.verdict({"seg": seg, "gain": paired_gain(seg)})
    assert (found.kind, found.number) == (kind, number)
    assert words in found.text


def test_verdict_says_what_to_switch_on_where_nothing_was_measured():
    nothing = evaluation.verdict({})
    assert nothing.number == "Not measured" and "evaluation.regimes" in nothing.text
    seg = seg_table().query("regime == 'real'")
    alone = evaluation.verdict({"seg": seg, "gain": paired_gain(seg)})
    assert alone.kind == "open" and "real and both" in alone.text


def test_the_verdict_rests_on_the_truth_with_most_objects():
    seg = pd.concat([seg_table(), seg_table(shift=-0.2, reference="gold", objects=29)])
    assert evaluation.verdict({"seg": seg, "gain": paired_gain(seg)}).number == "+0.050"
    assert [table["title"] for table in evaluation.segmentation({"seg": seg})["tables"]] == [
        "Silver truth",
        "Gold truth",
    ]


def test_seg_table_holds_means_spreads_and_gains():
    seg = seg_table()
    rows = evaluation.segmentation({"seg": seg, "gain": paired_gain(seg)})["tables"][0]["rows"]
    assert [row["regime"] for row in rows] == ["None", "Real", "Synthetic", "Both"]
    assert [row["seg"] for row in rows] == ["0.470", "0.820 ± 0.020", "0.820 ± 0.017", "0.870 ± 0.010"]
    assert [row["gain"] for row in rows] == ["−0.350", "–", "0.000", "+0.050"]
    assert rows[3]["scores"] == ["0.900", "0.800", "0.850"] and rows[3]["strict"] == ["0.700", "0.200"]


def test_features_pair_up_and_keep_each_warning_once():
    found = evaluation.features(fid_table())
    assert found["warnings"] == ["FID of 40 images is biased"]
    assert found["rows"][0]["real"] == ("9", "[8, 10]") and found["rows"][0]["synthetic"][0] == "26.5"
    assert found["rows"][1]["real"] == ("0.0003", "[−0.001, 0.002]")


def test_memorisation_is_judged_by_its_excess_over_real_cells():
    rows = evaluation.memorisation(memorisation_table())
    assert [row["kind"] for row in rows] == ["good", "bad"]
    assert rows[0]["words"].startswith("Masks: no sign of copying. 4.0 % of")
    assert rows[1]["words"].startswith("Cell images: copies are likely. 17.0 % of")
    assert evaluation.memorisation(memorisation_table(n_real_test=7))[1]["kind"] == "open"


def test_properties_read_as_text():
    assert evaluation.readable("neighbour_distance_um") == "neighbour distance (µm)"
    assert evaluation.readable("intensity_std_dim") == "intensity std., dim cells"
    assert evaluation.readable("slice_correlation_2") == "slice correlation, 2 apart"


def test_missing_columns_and_files_are_named(tmp_path):
    (tmp_path / "seg.csv").write_text("dataset,seg\nTOY,0.5\n")
    with pytest.raises(InputError, match="n_objects"):
        evaluation.read_evaluation({"seg": tmp_path / "seg.csv"})
    with pytest.raises(InputError, match="gain.csv"):
        evaluation.read_evaluation({"gain": tmp_path / "gain.csv"})
    (tmp_path / "fid.csv").write_text(",".join(evaluation.COLUMNS["fid"]) + "\n")
    assert evaluation.read_evaluation({"fid": tmp_path / "fid.csv", "texture": None}) == {}


def points(figure: Figure, panel: int = 0):
    """Heights of the points drawn in a panel."""
    return sorted(y for drawn in figure.axes[panel].collections for _, y in np.asarray(drawn.get_offsets()))


def test_strips_draw_every_training_and_mark_what_lies_below():
    figure = charts.strips(seg_table(), ["silver"])
    assert points(figure) == sorted([0.47, *SEEDS["real"], *SEEDS["synthetic"], *SEEDS["both"]])
    assert figure.axes[0].get_ylim()[0] > 0.7
    assert any("far below" in text.get_text() for text in figure.axes[0].texts)
    figure_uri(figure)


def test_far_distances_stay_on_the_chart():
    figure = charts.lollipops([("shape", "area", 0.2), ("population", "background mean", 30.0)])
    assert figure.axes[0].get_xlim()[1] < 4
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.20", "30.00"]


def labelled(*boxes, size=40):
    labels = np.zeros((size, size), np.uint16)
    for number, (y, x, edge) in enumerate(boxes, 1):
        labels[y : y + edge, x : x + edge] = number
    return labels


def test_matching_follows_seg():
    truth = labelled((2, 2, 10), (20, 20, 10))
    result = labelled((2, 2, 10), (32, 2, 5))
    result[20:25, 20:30] = 3  # exactly half of the second object: no match
    found = match(truth, result)
    assert set(np.unique(found.found)) == {0, 1}
    assert set(np.unique(found.missed)) == {0, 2} and set(np.unique(found.extra)) == {0, 2, 3}
    assert found.text == "1 of 2 found, 1 missed, 2 extra"


@pytest.fixture
def segmented(tmp_path):
    """A test sequence with silver truth of three frames, and stores of predictions of frames 1 and 2."""
    truth = labelled((2, 2, 10), (20, 20, 10))
    for kind, folder in (("02", "t{:03d}.tif"), ("02_ST/SEG", "man_seg{:03d}.tif")):
        (tmp_path / kind).mkdir(parents=True)
        for number in range(3):
            pixels = truth if kind != "02" else (90 * (truth > 0) + 10).astype(np.uint16)
            tifffile.imwrite(tmp_path / kind / folder.format(number), pixels)
    paths = []
    for regime, result in (("both", truth), ("real", labelled((2, 2, 10)))):
        paths.append(tmp_path / f"{regime}-0.zarr.zip")
        arrays = {"mask": np.stack([result] * 2), "frame": np.array([1, 2], "i4")}
        attributes = {"regime": regime, "seed": "0"}
        write_shard(paths[-1], schema="predictions/1", arrays=arrays, attributes=attributes)
    return tmp_path, paths


def test_test_frame_shows_each_regime_against_the_truth(segmented):
    folder, paths = segmented
    shown = segmented_frame(paths, (folder, "02"), display=Display((0.0, 110.0), 1.0), ndim=2)
    assert [panel.caption for panel in shown["whole"]] == [
        "Annotation: 2 objects",
        "Real: 1 of 2 found, 1 missed, 0 extra",
        "Both: 2 of 2 found, 0 missed, 0 extra",
    ]
    assert "Test frame 2 of sequence 02, the middle one of 2 annotated ones (silver truth)" in shown["caption"]
    assert segmented_frame([], (folder, "02"), display=Display((0.0, 110.0), 1.0), ndim=2) is None


def test_a_segmentation_of_another_size_is_named(segmented):
    folder, paths = segmented
    arrays = {"mask": np.zeros((2, 30, 30), "u2"), "frame": np.array([1, 2], "i4")}
    write_shard(paths[0], schema="predictions/1", arrays=arrays, attributes={"regime": "both", "seed": "0"})
    with pytest.raises(InputError, match="both-0"):
        segmented_frame(paths, (folder, "02"), display=Display((0.0, 110.0), 1.0), ndim=2)
