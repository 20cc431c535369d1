"""Do masks fit? Right ones do in every kind of contrast, wrong ones are named by what would make them fit."""

import numpy as np
import pytest

from tests.unit.checks.scenes import check, codes, frame, frames, phase_contrast, relabelled, write

SLIPS = {
    "shifted": (lambda labels: np.roll(labels, (23, -31), (0, 1)), "shifted by -23 pixels in y and 31 in x"),
    "mirrored": (lambda labels: labels[:, ::-1], "mirrored left to right"),
    "upside down": (lambda labels: labels[::-1], "upside down"),
    "transposed": (lambda labels: labels.T, "transposed (y and x exchanged)"),
    "turned": (lambda labels: np.rot90(labels), "turned by 90°"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_masks_that_slipped_are_an_error_that_says_how_they_would_fit(tmp_path, slip):
    change, words = SLIPS[slip]
    checked = check(write(tmp_path, relabelled(change)))
    (finding,) = [finding for finding in checked.errors if finding.code == "masks_do_not_fit"]
    assert "3 of 3 masks" in finding.found and words in finding.fix
    assert len(finding.pictures) == 3 and finding.pictures[0].src.startswith("data:image/png")


def test_masks_of_other_frames_are_told_from_shifted_ones(tmp_path):
    pairs = frames(4)
    others = [(image, pairs[(index + 1) % 4][1]) for index, (image, _) in enumerate(pairs)]
    (finding,) = check(write(tmp_path, others)).errors
    assert finding.code == "masks_do_not_fit" and "exchanged for that of frame 3" in finding.found
    assert "paired with other frames" in finding.fix


def test_masks_that_are_one_frame_late_are_told_though_not_all_are_looked_at(tmp_path):
    pairs = frames(20)
    late = [(image, pairs[max(0, index - 1)][1]) for index, (image, _) in enumerate(pairs)]
    (finding,) = check(write(tmp_path, late)).errors
    assert finding.code == "masks_do_not_fit" and "exchanged for that of frame 2" in finding.found


CONTRASTS = {
    "fluorescence": lambda image, labels, seed: image,
    "inverted": lambda image, labels, seed: 255 - image,
    "phase contrast": lambda image, labels, seed: phase_contrast(labels, seed),
    "16 bit with an offset": lambda image, labels, seed: image.astype(np.uint16) + 33000,
    "few saturated pixels": lambda image, labels, seed: np.where(np.indices(image.shape).sum(0) % 97, image, 255),
    "uneven light": lambda image, labels, seed: (image * np.linspace(0.5, 2.5, image.shape[1])).clip(0, 255),
}


@pytest.mark.parametrize("kind", CONTRASTS)
def test_right_masks_fit_in_every_kind_of_contrast_and_mirrored_ones_do_not(tmp_path, kind):
    pairs = [(CONTRASTS[kind](image, labels, seed), labels) for seed, (image, labels) in enumerate(frames())]
    pairs = [(image.astype(np.uint16 if image.max() > 255 else np.uint8), labels) for image, labels in pairs]
    right = check(write(tmp_path / "right", pairs))
    assert not {"masks_do_not_fit", "some_masks_do_not_fit"} & codes(right), right.findings
    wrong = [(image, np.ascontiguousarray(labels[:, ::-1])) for image, labels in pairs]
    assert "masks_do_not_fit" in codes(check(write(tmp_path / "wrong", wrong)), "error")


def test_one_wrong_mask_of_many_is_a_warning_with_its_file(tmp_path):
    pairs = frames(5)
    pairs[3] = pairs[3][0], np.ascontiguousarray(pairs[3][1][::-1])
    checked = check(write(tmp_path, pairs))
    (finding,) = [finding for finding in checked.findings if finding.code == "some_masks_do_not_fit"]
    assert not checked.errors and finding.where.endswith("man_seg003.tif") and "1 of 5" in finding.found


def test_stacks_are_looked_at_slice_by_slice(tmp_path):
    planes = [frame(0, radius=radius) for radius in (7, 9, 9, 7)]
    image, labels = (np.stack(items) for items in zip(*planes))
    assert not check(write(tmp_path / "right", [(image, labels)] * 2)).errors
    assert "masks_do_not_fit" in codes(check(write(tmp_path / "wrong", [(image, labels[..., ::-1])])), "error")


def test_what_cannot_be_told_is_no_error(tmp_path):
    """A mask without pixels inside, or without pixels outside, says nothing of whether it fits."""
    image, labels = frame(0)
    nothing, all_of_it = np.zeros_like(labels), np.ones_like(labels)
    found = codes(check(write(tmp_path, [(image, labels), (image.T.copy(), nothing), (image[::-1], all_of_it)])))
    assert not {"masks_do_not_fit", "some_masks_do_not_fit"} & found and "empty_annotations" in found
