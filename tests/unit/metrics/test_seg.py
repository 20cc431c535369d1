"""SEG, precision and recall, on hand-made cases and against py-ctcmetrics."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ctc_metrics.scripts.evaluate import calculate_metrics, load_data
from scipy import ndimage

from cellcascade.cli import main
from cellcascade.core.errors import InputError
from cellcascade.metrics import seg as module
from cellcascade.metrics.seg import annotation_pairs, overlaps, score
from tests.ctc_data import annotated_frames
from tests.unit.data.test_crops_real import gowt1

DEMO = Path(__file__).resolve().parents[3] / "demo" / "data"


def image(*boxes: tuple[int, tuple[slice, ...]], shape: tuple[int, ...] = (20, 20), dtype: type = np.uint16):
    """Labels of rectangular cells."""
    labels = np.zeros(shape, dtype)
    for label, box in boxes:
        labels[box] = label
    return labels


def write(root: Path, references: dict[str, np.ndarray], results: dict[str, np.ndarray]) -> tuple[Path, Path]:
    """Write annotations and results under their numbers (`"000"`, `"_000_003"`); gives 01_GT and 01_RES."""
    for folder, prefix, arrays in (("01_GT/SEG", "man_seg", references), ("01_RES", "mask", results)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number, array in arrays.items():
            tifffile.imwrite(root / folder / f"{prefix}{number}.tif", array, compression="zlib")
    return root / "01_GT", root / "01_RES"


def folder_score(root: Path, references: dict[str, np.ndarray], results: dict[str, np.ndarray]):
    return score(annotation_pairs(*write(root, references, results)))


def reference_tool(truth: Path, result: Path) -> float:
    """SEG by py-ctcmetrics, which wants a result for every frame and tracking masks, and looks at neither for SEG."""
    tracking = truth / "TRA"
    tracking.mkdir(exist_ok=True)
    for path in result.glob("mask*.tif"):
        (tracking / path.name.replace("mask", "man_track")).touch()
    *_, segmentation, _, valid = load_data(str(result), str(truth), False, True, threads=1)
    return calculate_metrics(None, None, {}, segmentation, ["SEG"], valid)["SEG"]


def plain_score(reference: np.ndarray, result: np.ndarray) -> list[float]:
    """SEG's Jaccard of every reference object, label by label, straight from the definition."""
    values = []
    for label in np.unique(reference[reference > 0]):
        inside = reference == label
        value = 0.0
        for other in np.unique(result[inside]):
            found = result == other
            if other and (inside & found).sum() > 0.5 * inside.sum():
                value = (inside & found).sum() / (inside | found).sum()
        values.append(value)
    return values


def noise(shape: tuple[int, ...], labels: int, seed: int) -> np.ndarray:
    """Irregular touching regions."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    ranks = np.argsort(np.argsort(field.ravel())).reshape(shape)
    return (ranks * (labels + 1) // field.size).astype(np.uint16)


def test_exactly_half_is_no_match_and_a_pixel_more_is():
    reference = image((3, np.s_[0:10, 0:10]))
    half = score([(reference, image((8, np.s_[0:10, 0:5])))])
    assert half.seg == 0 and half.n_objects == 1
    more = image((8, np.s_[0:10, 0:5]))
    more[0, 5] = 8
    assert score([(reference, more)]).seg == pytest.approx(51 / 100)


def test_objects_are_pooled_over_files_and_not_averaged_by_file():
    perfect, missed = (
        image((1, np.s_[0:4, 0:4])),
        image((1, np.s_[0:4, 0:4]), (2, np.s_[8:12, 0:4]), (5, np.s_[16:, :])),
    )
    both = score([(perfect, perfect), (missed, image())])
    assert both.seg == pytest.approx(1 / 4)
    np.testing.assert_array_equal(both.jaccards, [1, 0, 0, 0])


def test_false_positives_cost_precision_alone():
    reference = image((1, np.s_[0:5, 0:5]))
    found = image((1, np.s_[0:5, 0:5]), (2, np.s_[10:12, 0:5]), (3, np.s_[14:16, 0:5]), (4, np.s_[18:20, 0:5]))
    result = score([(reference, found)])
    assert result.seg == 1 and result.n_found == 4
    assert result.ap[0.5] == pytest.approx(result.f1[0.5] / (2 - result.f1[0.5]))
    assert result.precision[0.5] == 1 / 4 and result.recall[0.5] == 1 and result.f1[0.5] == pytest.approx(2 / 5)


def test_a_merged_object_matches_both_cells_in_seg_but_is_true_once_at_most():
    reference = image((1, np.s_[0:10, 0:6]), (2, np.s_[0:10, 6:10]))
    result = score([(reference, image((9, np.s_[0:10, 0:10])))])
    np.testing.assert_allclose(result.jaccards, [0.6, 0.4])
    assert result.recall[0.5] == 1 / 2 and result.precision[0.5] == 1


@pytest.mark.parametrize(("columns", "threshold"), [(5, 0.5), (6, 0.6), (7, 0.7), (8, 0.8), (9, 0.9)])
def test_an_iou_at_the_threshold_is_not_above_it(columns, threshold):
    result = score([(image((1, np.s_[0:10, 0:10])), image((1, np.s_[0:10, 0:columns])))])
    true = [t for t in module.THRESHOLDS if result.recall[t] == 1]
    assert true == [t for t in module.THRESHOLDS if t < threshold]


def test_an_empty_result_scores_zero():
    result = score([(image((1, np.s_[0:10, 0:10])), image())])
    assert (result.seg, result.n_objects, result.n_found) == (0, 1, 0)
    assert result.precision[0.5] == result.recall[0.5] == result.f1[0.5] == 0


def test_references_without_objects_are_an_error_but_an_empty_image_among_others_is_not():
    full = image((1, np.s_[0:10, 0:10]))
    with pytest.raises(InputError, match=r"no object in 2 image"):
        score([(image(), full), (image(), full)])
    assert score([(image(), full), (full, full)]).seg == 1


@pytest.mark.parametrize("shape", [(60, 70), (12, 30, 28)])
@pytest.mark.parametrize("seed", range(3))
def test_any_labels_score_as_the_definition_says(shape, seed):
    reference, result = noise(shape, 9, seed), noise(shape, 9, seed)
    result = np.roll(result, 1, axis=-1)
    expected = plain_score(reference, result)
    assert 0 < np.mean(expected) < 1
    np.testing.assert_allclose(score([(reference, result)]).jaccards, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_type_and_numbering_of_labels_do_not_matter(dtype):
    reference, result = noise((50, 50), 7, 0), np.roll(noise((50, 50), 7, 0), 2, axis=0)
    expected = score([(reference, result)]).jaccards
    top = np.iinfo(dtype).max
    names = np.array([0, 3, 9, 50, 51, 52, 90, top], dtype)
    np.testing.assert_array_equal(score([(names[reference], names[result])]).jaccards, expected)
    np.testing.assert_array_equal(score([(np.asfortranarray(names[reference]), result)]).jaccards, expected)


@pytest.mark.parametrize(("top", "block"), [(1, 5000), (40, 5000), (1, 90), (40, 90), (1000, 90)])
def test_counting_by_table_and_by_sorting_at_once_and_in_blocks_agree(monkeypatch, top, block):
    reference, result = noise((50, 50), 12, 0), noise((50, 50), 10, 1)
    reference[reference == 0] = 12  # no background left
    table = overlaps(reference, result)
    monkeypatch.setattr(module, "LARGEST_TABLE", top)
    monkeypatch.setattr(module, "BLOCK", block)
    for counted, sorted_ in zip(table, overlaps(reference, result)):
        np.testing.assert_array_equal(counted, sorted_)
    first, second, common = table.pairs[5]
    both = (reference == table.reference_labels[first]) & (result == table.result_labels[second])
    assert common == both.sum()


def test_what_is_no_pair_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"\(20, 20\) and result \(20, 19\)"):
        overlaps(image(), image()[:, :19])
    with pytest.raises(ValueError, match="not float32"):
        overlaps(image(), image(dtype=np.float32))
    with pytest.raises(ValueError, match="0 and above"):
        overlaps(image(), image((-1, np.s_[0:2, 0:2]), dtype=np.int16))


def volumes() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A cell annotated in two slices of one frame: found in the one, missed in the other; another in a third."""
    box = np.s_[0:10, 0:10]
    result = image((4, np.s_[2, 0:10, 0:8]), (4, np.s_[5, 0:10, 0:1]), (6, np.s_[7, 10:20, 0:10]), shape=(9, 20, 20))
    references = {"_000_002": image((1, box)), "_000_005": image((1, box)), "_001_007": image((3, np.s_[10:20, 0:10]))}
    return references, {"000": result, "001": result}


def test_every_annotated_slice_is_an_image_of_its_own(tmp_path):
    result = folder_score(tmp_path, *volumes())
    np.testing.assert_allclose(result.jaccards, [0.8, 0, 1])
    assert result.seg == pytest.approx(1.8 / 3)
    assert result.n_found == 3  # the same object of the result counts in each slice, too


def test_py_ctcmetrics_differs_where_a_frame_has_several_slices(tmp_path):
    # It stacks the slices of a frame and counts the stack once for each slice. The cell of the first frame covers 200
    # pixels of its stack, the result 90 of them: less than half, so the slice that was found is lost and counted twice.
    truth, result = write(tmp_path, *volumes())
    assert reference_tool(truth, result) == pytest.approx(1 / 3)
    for path in (truth / "SEG").glob("*_005.tif"):
        path.unlink()
    assert reference_tool(truth, result) == pytest.approx(score(annotation_pairs(truth, result)).seg, abs=1e-9)


def test_dense_volumes_and_slices_may_stand_side_by_side(tmp_path):
    references, results = volumes()
    dense = image((1, np.s_[2:4, 0:10, 0:10]), shape=(9, 20, 20))
    result = folder_score(tmp_path, {**references, "002": dense}, {**results, "002": dense, "003": dense})
    assert result.n_objects == 4 and result.seg == pytest.approx(2.8 / 4)


def test_names_may_have_four_digits(tmp_path):
    cell = image((1, np.s_[0:10, 0:10]))
    volume = np.stack([image(), cell])
    result = folder_score(tmp_path, {"0003": cell, "_1200_0001": cell}, {"0003": cell, "1200": volume})
    assert result.n_objects == 2 and result.seg == 1


def test_missing_results_are_all_named(tmp_path):
    cell = image((1, np.s_[0:10, 0:10]))
    references = {"000": cell, "003": cell, "_0007_0001": cell}
    with pytest.raises(InputError, match=r"no mask003.tif, mask0007.tif\n.*result for every annotated frame"):
        folder_score(tmp_path, references, {"000": cell, "001": cell})
    with pytest.raises(InputError, match="no such folder"):
        annotation_pairs(tmp_path / "01_GT", tmp_path / "02_RES")


def test_missing_annotations_are_named(tmp_path):
    truth, result = write(tmp_path, {}, {"000": image()})
    with pytest.raises(InputError, match="no file of that name"):
        annotation_pairs(truth, result)
    with pytest.raises(InputError, match="name the folder that holds SEG"):
        annotation_pairs(truth / "SEG", result)


@pytest.mark.parametrize(
    ("number", "reference", "result"),
    [
        ("000", (9, 20, 20), (7, 20, 20)),
        ("000", (9, 20, 20), (20, 20)),
        ("000", (20, 20), (20, 18)),
        ("_000_007", (20, 20), (7, 20, 20)),
        ("_000_002", (20, 20), (7, 18, 20)),
        ("_000_002", (20, 20), (20, 20)),
    ],
)
def test_a_cropped_result_is_refused_with_both_shapes(tmp_path, number, reference, result):
    with pytest.raises(InputError) as caught:
        folder_score(tmp_path, {number: np.ones(reference, np.uint16)}, {"000": np.ones(result, np.uint16)})
    assert str(result) in caught.value.found and str(reference) in caught.value.expected
    assert caught.value.where.endswith("mask000.tif")


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.full((20, 20), 0.5, np.float32), "float32 from 0.5 to 0.5"),
        (np.ones((20, 20, 3), np.uint8), "colour"),
        (np.full((20, 20), -2, np.int16), "values down to -2"),
    ],
)
def test_what_holds_no_labels_is_refused(tmp_path, pixels, found):
    with pytest.raises(InputError, match=found):
        folder_score(tmp_path, {"000": image((1, np.s_[0:2, 0:2]))}, {"000": pixels})


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_cut_short_is_refused(tmp_path, compression):
    truth, result = write(tmp_path, {"000": noise((60, 60), 5, 0)}, {})
    path = result / "mask000.tif"
    tifffile.imwrite(path, noise((60, 60), 5, 0), compression=compression)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match="cannot be read"):
        score(annotation_pairs(truth, result))


def shifted(labels: np.ndarray) -> np.ndarray:
    return np.roll(labels, (3, -2), (-2, -1))


def eroded(labels: np.ndarray) -> np.ndarray:
    smallest, largest = ndimage.minimum_filter(labels, 5), ndimage.maximum_filter(labels, 5)
    return np.where((labels > 0) & (smallest == largest), labels, 0).astype(labels.dtype)


def merged(labels: np.ndarray) -> np.ndarray:
    return np.where(labels > 0, (labels + 1) // 2, 0).astype(labels.dtype)


def shuffled_and_thinned(labels: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(0)
    names = generator.permutation(np.arange(1, labels.max() + 2)) * (generator.random(labels.max() + 1) > 0.3)
    names[0] = 0
    return shifted(names.astype(labels.dtype)[labels])


@pytest.mark.parametrize("change", [shifted, eroded, merged, shuffled_and_thinned])
def test_equals_py_ctcmetrics_on_real_nuclei(tmp_path, change):
    annotations = sorted((DEMO / "DSB2018-20x" / "02_GT" / "SEG").iterdir())
    labels = {f"{number:03d}": tifffile.imread(path) for number, path in enumerate(annotations)}
    truth, result = write(tmp_path, labels, {number: change(array) for number, array in labels.items()})
    ours = score(annotation_pairs(truth, result))
    assert ours.n_objects > 300 and 0.1 < ours.seg < 0.99
    assert ours.seg == pytest.approx(reference_tool(truth, result), abs=1e-9)


def test_equals_py_ctcmetrics_on_a_real_embryo(tmp_path):
    labels = tifffile.imread(DEMO / "MouseEmbryo" / "01_ST" / "SEG" / "man_seg000.tif")
    truth, result = write(tmp_path, {"000": labels}, {"000": shifted(labels)})
    ours = score(annotation_pairs(truth, result)).seg
    assert 0.3 < ours < 0.99 and ours == pytest.approx(reference_tool(truth, result), abs=1e-9)


def test_equals_py_ctcmetrics_on_gold_against_silver_truth_of_stem_cells(tmp_path):
    if gowt1() is None:
        pytest.skip("Fluo-N2DH-GOWT1 is not there: set CELLCASCADE_DATA to the folder it is in")
    gold, silver = (
        {item.frame: item.labels for item in annotated_frames(gowt1(), "02", kind)} for kind in ("GT", "ST")
    )
    truth, result = tmp_path / "02_GT", tmp_path / "02_RES"
    (truth / "SEG").mkdir(parents=True)
    result.mkdir()
    for number, frame in enumerate(sorted(gold.keys() & silver.keys())):
        (truth / "SEG" / f"man_seg{number:03d}.tif").symlink_to(gold[frame])
        (result / f"mask{number:03d}.tif").symlink_to(silver[frame])
    ours = score(annotation_pairs(truth, result))
    assert ours.n_objects > 20 and 0.8 < ours.seg < 1
    assert ours.seg == pytest.approx(reference_tool(truth, result), abs=1e-9)


def test_the_command_prints_the_line_of_the_official_tool(tmp_path, capsys):
    truth, result = write(tmp_path, *volumes())
    assert main(["seg", str(truth), str(result)]) == 0
    assert capsys.readouterr() == ("SEG measure: 0.600000\n", "")


def test_the_command_says_what_is_missing(tmp_path, capsys):
    truth, result = write(tmp_path, volumes()[0], {})
    assert main(["seg", str(truth), str(result)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "no mask000.tif, mask001.tif" in err


def test_the_command_line_loads_no_torch():
    code = "import sys, cellcascade.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
