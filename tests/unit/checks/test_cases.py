"""The cases of a folder of known slips, where one is given: each is found before anything is trained."""

import os
from pathlib import Path

import pytest

from tests.unit.checks.scenes import check, codes

EXPECTED = {
    "flat_zero": {"note": {"flat_background"}},
    "flat_ten": {"note": {"flat_background"}},
    "flat_saturated": {"note": {"flat_background"}},
    "flat_salt": {"note": {"flat_background"}},
    "labels_interpolated": {"warning": {"interpolated_labels"}},
    "labels_merged": {"warning": {"merged_labels"}},
    "masks_shifted": {"error": {"masks_do_not_fit"}},
    "masks_flipped": {"error": {"masks_do_not_fit"}},
    "masks_transposed": {"error": {"masks_do_not_fit"}},
    "masks_other_frame": {"error": {"masks_do_not_fit"}},
    "confluent": {"error": {"no_background"}},
    "foreground_mask": {"error": {"foreground_mask"}},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_is_found(name):
    folder = Path(os.environ.get("CELLCASCADE_CASES", "cases")) / name
    if not folder.is_dir():
        pytest.skip("no cases: set CELLCASCADE_CASES to a folder with one data set for each")
    checked = check(folder, size=64)
    for level, expected in EXPECTED[name].items():
        assert expected <= codes(checked, level), checked.findings
    assert bool(checked.errors) == ("error" in EXPECTED[name] or name == "labels_merged")
