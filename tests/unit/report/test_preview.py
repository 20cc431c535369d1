import numpy as np
import pytest
from PIL import Image

from cellcascade.cli import main
from cellcascade.data.synthetic import open_synthetic
from cellcascade.report.preview import GAP, LINE, window_of
from tests.synthetic import scattered, write_set


@pytest.fixture(params=(2, 3))
def folder(request, tmp_path):
    shape = (40, 50) if request.param == 2 else (6, 40, 50)
    return write_set(tmp_path / "synthetic", [scattered(shape, 5, seed) for seed in range(5)])


def test_the_sheet_shows_images_beside_their_labels_in_colour(folder, capsys):
    assert main(["preview", str(folder), "--count", "4"]) == 0
    assert "preview.png: 4 of 5 images" in capsys.readouterr().out
    sheet = np.asarray(Image.open(folder.parent / "preview.png")).astype(int)
    source = open_synthetic(folder)
    if source.ndim == 2:
        tile = sheet[GAP + LINE : GAP + LINE + 40, GAP : GAP + 2 * 50 + GAP]
        low, high = window_of([source.images[index] for index in (0, 1, 3, 4)])
        grey = np.rint(255 * np.clip((source.images[0].counts() - low) / (high - low), 0, 1))
        assert np.abs(tile[:, :50] - grey[..., None]).max() <= 1
        colourful = np.ptp(tile[:, 50 + GAP :], axis=2) > 0
        assert np.array_equal(colourful, source.images[0].labels() > 0)
    height = 40 if source.ndim == 2 else 40 * 5 + 4 + 12 * 5  # stacks are enlarged, with XZ planes below
    assert sheet.shape[0] == 2 * (height + LINE) + 3 * GAP


def test_large_images_are_made_smaller(tmp_path):
    folder = write_set(tmp_path / "synthetic", [scattered((300, 900), 4)])
    assert main(["preview", str(folder), "--out", str(tmp_path / "look.png")]) == 0
    assert Image.open(tmp_path / "look.png").size == (2 * 300 + 3 * GAP, 100 + LINE + 2 * GAP)


def test_other_folders_are_refused(tmp_path, capsys):
    assert main(["preview", str(tmp_path)]) == 1
    assert "no finished folder of synthetic images" in capsys.readouterr().err and not list(tmp_path.iterdir())
