"""Labels, cells, counts and files: what is wrong is found, with its cure, and nothing where all is sound."""

import numpy as np
import pandas as pd
import pytest

from cellcascade.checks.data import check_data, check_recordings
from cellcascade.checks.finding import KINDS
from cellcascade.config.settings import CropSettings
from cellcascade.core.errors import InputError
from cellcascade.data.recording import Recording
from tests.partly import partly
from tests.unit.checks.scenes import check, codes, confluent, frame, frames, interpolated, relabelled, write


def test_sound_data_have_no_finding(tmp_path):
    checked = check(write(write(tmp_path, frames()), frames(6)[3:], "02"))
    assert not checked.findings and [part.title for part in checked.sequences] == ["Training sequence", "Test sequence"]
    facts = dict(checked.sequences[0].facts)
    assert facts["looked at"] == "all 3 annotations" and "annotated cells usable" in facts["usable"]


@pytest.mark.parametrize("value", [1, 255])
def test_a_foreground_mask_is_named_and_its_pieces_can_be_taken_as_cells(tmp_path, value):
    folder = write(tmp_path, relabelled(lambda labels: (labels > 0).astype(np.uint8) * value))
    (finding,) = check(folder).findings
    assert finding.code == "foreground_mask" and f"the only number is {value}" in finding.found
    assert "split_labels: true" in finding.fix and "cells that touch are one" in finding.fix
    assert not check(folder, split=True).findings


def test_one_cell_a_frame_with_the_same_number_is_no_foreground_mask(tmp_path):
    one = [(image, (labels == labels[80, 80] if labels[80, 80] else labels == 1)) for image, labels in frames()]
    assert "foreground_mask" not in codes(check(write(tmp_path, [(i, m.astype(np.uint8)) for i, m in one])))


def test_one_number_for_several_cells_is_a_warning_while_some_can_be_used(tmp_path):
    folder = write(tmp_path, relabelled(lambda labels: np.where(labels > 12, labels % 4 + 1, labels)))
    checked = check(folder)
    assert "merged_labels" in codes(checked, "warning") and not checked.errors
    (finding,) = [finding for finding in checked.findings if finding.code == "merged_labels"]
    assert "several large pieces" in finding.found and "split_labels" in finding.fix
    assert "merged_labels" not in codes(check(folder, split=True))


def test_interpolated_labels_are_told_from_specks(tmp_path):
    checked = check(write(tmp_path / "a", relabelled(interpolated)))
    (finding,) = [finding for finding in checked.findings if finding.code == "interpolated_labels"]
    assert "slivers along" in finding.found and "nearest" in finding.fix and "fragments" not in codes(checked)

    def specks(labels):
        """Twelve single pixels on the background."""
        places = np.argwhere(labels == 0)[::1500][:12]
        return np.where(labels, labels, 0) + sum(
            (np.indices(labels.shape) == place[:, None, None]).all(0) * (500 + number)
            for number, place in enumerate(places)
        ).astype(np.uint16)

    assert "fragments" in codes(check(write(tmp_path / "b", relabelled(specks))), "warning")


def test_cells_without_background_are_an_error(tmp_path):
    folder = write(tmp_path, relabelled(confluent))
    assert "no_background" in codes(check(folder), "error")
    assert "no_background" not in codes(check(folder, rim=None))  # it is learned from other frames


@pytest.mark.parametrize("counts", [0, 10, 255])
def test_a_flat_background_is_a_note(tmp_path, counts):
    flat = [(np.where(labels, image, counts).astype(np.uint8), labels) for image, labels in frames()]
    found = check(write(tmp_path, flat))
    assert codes(found, "note") == {"flat_background"} and not found.errors


def test_cells_that_are_too_large_or_too_few_come_with_the_size_that_fits(tmp_path):
    checked = check(write(tmp_path / "large", frames(radius=10)), size=24)
    fixes = {finding.code: finding.fix for finding in checked.findings}
    assert fixes["crop_too_small"] == "set crops.size: 32 in the data set's entry"
    few = check(write(tmp_path / "few", frames(1)))
    assert codes(few) == {"few_usable_cells"} and "annotated cells usable" in few.findings[0].found


def test_nothing_annotated_and_blank_frames_are_errors(tmp_path):
    nothing = relabelled(np.zeros_like)
    assert codes(check(write(tmp_path / "a", nothing)), "error") == {"no_cells"}
    pairs = frames()
    pairs[1] = np.full_like(pairs[1][0], 7), pairs[1][1]
    assert "blank_frames" in codes(check(write(tmp_path / "b", pairs)), "error")


def test_saturated_cells_are_a_warning(tmp_path):
    bright = [((image.astype(int) * 4).clip(0, 255).astype(np.uint8), labels) for image, labels in frames()]
    assert "saturated" in codes(check(write(tmp_path, bright)), "warning")


def test_a_wrong_voxel_size_is_a_warning_with_the_size_of_a_cell(tmp_path):
    folder = write(tmp_path, frames())
    recording = Recording(folder, "01", "GT", (0.01, 0.01))
    page, table = tmp_path / "page.html", tmp_path / "findings.csv"
    settings = {"test_recording": None, "settings": CropSettings(size=48), "rim": 4, "accept": ()}
    check_data(dataset="toy", recording=recording, **settings, page=page, table=table)
    (row,) = pd.read_csv(table).to_dict("records")
    assert (row["level"], row["code"]) == ("warning", "voxel_size") and "µm with voxel_size_um [0.01, 0.01]" in row[
        "found"
    ]
    assert row["found"] in page.read_text() and row["cure"] in page.read_text()


def test_what_is_there_twice_is_found(tmp_path):
    pairs = frames()
    folder = write(tmp_path, [*pairs, pairs[1]])
    write(folder, [pairs[0], frame(9)], "02")
    checked = check(folder)
    found = {finding.code: finding.found for finding in checked.findings}
    assert found["duplicate_frames"] == "frame 1 and frame 3"
    assert found["leaked_frames"] == "test frame 0 is training frame 0"


def test_two_files_of_one_number_are_named(tmp_path):
    folder = write(tmp_path, frames())
    (folder / "01/t0000.tif").write_bytes((folder / "01/t000.tif").read_bytes())
    (finding,) = check(folder).findings
    assert finding.code == "unreadable" and "t000.tif" in finding.found and "t0000.tif" in finding.found


def test_an_error_stops_the_stage_with_its_page_unless_it_is_accepted(tmp_path):
    folder = write(tmp_path / "data", relabelled(lambda labels: labels[:, ::-1]))
    page, table = tmp_path / "page.html", tmp_path / "findings.csv"
    recording = Recording(folder, "01", "GT", (0.5, 0.5))
    given = {"dataset": "toy", "recording": recording, "test_recording": None, "settings": CropSettings(size=48)}
    with pytest.raises(InputError, match="cannot be learned from") as caught:
        check_data(**given, rim=4, accept=(), page=page, table=table)
    assert str(page) in caught.value.where and "accept: [masks_do_not_fit]" in caught.value.fix
    assert page.exists() and not table.exists()
    check_data(**given, rim=4, accept=("masks_do_not_fit",), page=page, table=table)
    assert "masks_do_not_fit" in table.read_text() and "accepted" in page.read_text()
    with pytest.raises(InputError, match="accepts what is no finding"):
        check_data(**given, rim=4, accept=("mask",), page=page, table=table)


def test_a_damaged_file_is_a_finding_not_a_traceback(tmp_path):
    folder = write(tmp_path, frames())
    (folder / "01/t001.tif").write_bytes(b"II*\0cut short")
    (finding,) = check(folder).errors
    assert finding.code == "unreadable" and "t001.tif" in finding.where + finding.found


def test_each_kind_says_what_it_means_and_how_it_is_cured():
    for code, kind in KINDS.items():
        assert (
            code.islower() and kind.title[0].isupper() and kind.meaning.endswith(".") and not kind.cure.endswith(".")
        ), code


def test_crops_that_no_cell_fits_into_are_an_error_with_the_size_that_fits(tmp_path):
    (finding,) = check(write(tmp_path, frames()), size=12).errors
    assert finding.code == "no_usable_cell" and "does not fit" in finding.found
    assert finding.fix == "set crops.size: 32 in the data set's entry"


def test_a_corner_of_background_is_a_warning(tmp_path):
    def all_but_a_corner(labels):
        crowded = confluent(labels)
        crowded[:14, :14] = 0
        return crowded

    found = check(write(tmp_path, relabelled(all_but_a_corner)))
    assert "little_background" in codes(found, "warning") and "no_background" not in codes(found)


def test_what_nobody_annotated_is_neither_background_nor_wrong(tmp_path):
    recording, settings = partly(tmp_path), CropSettings(size=48)
    checked = check_recordings("toy", recording, test_recording=None, settings=settings, rim=4)
    assert {finding.code for finding in checked.findings} == {"few_usable_cells"}
    facts = dict(checked.sequences[0].facts)
    assert "3 touches what is not annotated" in facts["usable"]
    assert 0 < int(facts["background"].split()[0]) < 50
