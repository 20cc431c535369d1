"""From a folder to a configuration that runs as it is."""

import shutil

import numpy as np
import pytest
from scipy import ndimage

from cellcascade.cli import main
from cellcascade.config.load import read_config
from cellcascade.core.machine import Machine
from cellcascade.data.recording import held_out_recording, training_recording
from cellcascade.intake.advice import advise
from cellcascade.intake.document import document
from cellcascade.intake.looking import look
from cellcascade.intake.measures import Cells
from tests.partly import partly
from tests.unit.data.layouts.writing import folders, scenes


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_configuration_holds_this_data_set_alone_and_fits_it(tmp_path, capsys):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Zellen {ä} 'x'", *scenes(5))
    assert main(["init", "Zellen {ä} 'x'", "--out", "my cells.yaml", "--voxel-size", "0.3", "0.3"]) == 0
    said = capsys.readouterr().out
    assert "layout folders" in said and "25, 5 to 5 per annotation" in said and "5 annotated, 96 x 112 pixels" in said
    assert "snakemake results/my_cells/synthetic/ --configfile 'my cells.yaml'" in said
    config = read_config("my cells.yaml")
    assert list(config.datasets) == ["my_cells"]
    data = config.datasets["my_cells"]
    assert data.voxel_size_um == (0.3, 0.3) and data.crops.size == 32
    assert len(training_recording(config, "my_cells").checked_frames()) == 4
    assert len(held_out_recording(config, "my_cells").checked_frames()) == 1


@pytest.mark.parametrize("number", [1, 255])
def test_masks_of_one_number_are_taken_apart(tmp_path, capsys, number):
    images, labels = scenes(4)
    masks = [(mask > 0) * np.uint8(number) for mask in labels]
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", images, masks)
    assert main(["init", "Mine"]) == 0 and "each connected piece" in capsys.readouterr().out
    recording = training_recording(read_config("mine.yaml"), "mine")
    pieces = ndimage.label(masks[0])[1]
    assert recording.split_labels and pieces > 1
    assert [recording.read_labels(item).max() for item in recording.frames()] == [pieces] * 3


def test_a_configuration_is_not_overwritten(tmp_path, capsys):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(2))
    (tmp_path / "mine.yaml").write_text("mine: 1\n")
    assert main(["init", "Mine"]) == 1
    assert "is there already" in capsys.readouterr().err and (tmp_path / "mine.yaml").read_text() == "mine: 1\n"


def test_an_archive_as_it_was_downloaded(tmp_path):
    folders("Data/images/{}.tif", "Data/masks/{}.tif")(tmp_path / "unpacked", *scenes(3))
    shutil.make_archive(str(tmp_path / "Download"), "zip", tmp_path / "unpacked")
    assert main(["init", "Download.zip"]) == 0
    config = read_config("mine.yaml")
    assert config.datasets["mine"].folder == "Download.zip"
    assert len(training_recording(config, "mine").checked_frames()) == 2


@pytest.mark.parametrize("gpus", [(), ("GPU-1",)])
def test_settings_fit_the_machine(tmp_path, gpus):
    folders("images/{}.tif", "masks/{}.tif")(tmp_path / "Mine", *scenes(2))
    found = look(tmp_path / "Mine")
    advice = advise(found.cells, found.extent, dense=True)
    (tmp_path / "x.yaml").write_text(
        document("x", tmp_path / "x.yaml", found, advice, Machine(8, 10**10, 10**10, gpus))
    )
    data = read_config("x.yaml").datasets["x"]
    assert (data.cells, data.texture.tuning.steps) == ((100, 200) if not gpus else (1000, 2000))
    assert data.evaluation.regimes == (() if not gpus else ("real", "copy_paste", "synthetic", "both"))
    assert data.test_share == 0, "two frames are too few to keep one for tests"


def cells(edges: list[int], near: list[float], count: int = 50, usable: bool = True) -> Cells:
    sizes = np.array(edges, float)
    return Cells([count], sizes**2, sizes, sizes // 2, np.full(len(edges), usable), np.array(near), 0.1)


def test_crops_hold_the_cells_and_slices_make_up_for_few():
    assert advise(cells([40] * 50, [60.0]), (500, 500), dense=True).crop_size == 64
    assert advise(cells([40] * 49 + [300], [60.0]), (500, 500), dense=True).crop_size == 64, "one merged cell"
    assert advise(cells([61] * 50, [60.0]), (500, 500), dense=True).crop_size == 96
    assert advise(cells([6] * 50, [60.0]), (500, 500), dense=True).min_area == 18
    few = cells([20] * 50, [60.0], count=50)
    assert advise(few, (20, 500, 500), dense=True).slices_per_cell == 4
    assert advise(few, (20, 500, 500), dense=False).slices_per_cell == 1


def test_cells_close_together_are_placed_close_together():
    crowded = advise(cells([20] * 50, [23.0] * 50), (2000, 2000), dense=True)
    loose = advise(cells([20] * 50, list(np.linspace(40, 200, 50))), (2000, 2000), dense=True)
    assert crowded.clustering == 0.9 and crowded.gap == 0 and crowded.reach == 4
    assert loose.clustering < 0.5 and loose.gap == 3 and loose.reach > 10
    assert crowded.by_data and not advise(cells([20] * 5, [23.0] * 5, count=5), (500, 500), dense=True).by_data
    assert not advise(cells([20] * 50, [23.0] * 50), (9, 500, 500), dense=False).by_data


def test_what_nobody_annotated_is_written_down(tmp_path):
    partly(tmp_path / "Mine")
    assert main(["init", "Mine", "--ignore-label", "-1"]) == 0
    assert read_config("mine.yaml").datasets["mine"].ignore_label == -1
