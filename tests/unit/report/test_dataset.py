"""The pages of tiny 2D and 3D data sets: complete, self-contained, right in their numbers, strict on broken files."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.stores import MASKS, TEXTURES
from cellcascade.report.dataset import write_report
from cellcascade.report.sources import EvaluationFiles, WorkFiles
from tests.stores import write_store
from tests.unit.report.reading import CHROMIUM, Page, browser, inked_rows, text_of
from tests.unit.report.tables import all_tables, write_tables
from tests.unit.report.toy import write_predictions, write_recording

PARTS = {"cells", "images", "distributions", "shapes", "dropped", "training", "time", "configuration"}
EVALUATED = {"segmentation", "segmented-frame", "features", "memorisation"}


def evaluated(inputs: dict, folder, ndim: int) -> dict:
    """The same data set with all that can be measured."""
    tables = inputs["evaluation"].tables | write_tables(folder / "evaluation", all_tables())
    recording = write_recording(folder / "data", ndim)
    files = EvaluationFiles(tables, write_predictions(folder / "data", ndim), recording)
    return inputs | {"evaluation": files, "images": replace(inputs["images"], recording=recording)}


def test_page_is_complete_and_needs_nothing_else(inputs, ndim, tmp_path):
    write_report(**inputs | {"images": replace(inputs["images"], recording=write_recording(tmp_path / "data", ndim))})
    page = Page(inputs["html"])
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert "<script" not in inputs["html"].read_text()
    assert PARTS | {"beside"} <= set(page.ids)
    assert ("in-3d" in page.ids) == (ndim == 3) == ("Neighbouring slices" in page.text)
    text, valid = text_of(page), 4 if ndim == 3 else 5
    for expected in (
        "TOY <2>",
        f"synthetic cells valid after all stages {valid} of 6",
        "labelled cells in them (2.0 per image; real 3.5) 4",
        "7 of 7 real cells",
        "5 valid synthetic masks",
        "linear display, window 3 to 123 counts",
        "touches border 2 33.3 %",
        "too small 1 16.7 %",
        "3 pieces (1); 8 masks drawn again",
        "3 of 7 cells drawn for the images found no room (1 of 2 images)",
        "mask model 20 0.2500 1 min 15 s",
        "masks 2 1 min 30 s 50.0 s 150 MB",
        "crops 1 3.0 s",
        "scratch & new",
        "cellcascade",
        "python 3.",
        "32 × 40 pixels of both",
        f"{valid} real and {valid} synthetic cells, shuffled",
    ):
        assert expected in text, expected


@pytest.mark.parametrize("ndim", [3], indirect=True, ids=["3d"])
def test_page_of_stacks_shows_the_way_from_mask_to_slices(inputs):
    write_report(**inputs)
    text = text_of(Page(inputs["html"]))
    for expected in (
        "reprojection IoU 0.61 is below 0.8 (1)",
        "views 6 5 0 ",
        "2 predicted views their thickness reconstructed surface",
        "median IoU of the widest slice with its source mask 0.93",
        "3 of 3 slices, 2 µm apart; widest: number 2",
        "real cells correlate by 0.30 (24 pairs). New textures in the same outlines correlate by 0.10 at ρ = 0, "
        "0.50 at ρ = 1, 0.90 at ρ = 4: ρ = 0.58 fits the real ones best. "
        "The textures of this page were made with ρ = 0.7, alike in their coarse structure, not in their grain.",
        "XZ (below)",
    ):
        assert expected in text, expected


def test_page_with_the_evaluation(inputs, ndim, tmp_path):
    write_report(**evaluated(inputs, tmp_path, ndim))
    page = Page(inputs["html"])
    assert {"verdict", "shapes", *EVALUATED} <= set(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    text = text_of(page)
    for expected in (
        "Helps With synthetic images beside the real ones, SEG changes by +0.050, 95 % interval [+0.025, +0.075]",
        "Both 0.870 ± 0.010 +0.050 [+0.025, +0.075] 0.900 0.800 0.850 0.700 0.200 3",
        "Training: 300 gradient steps in every regime, from scratch, cell diameter 21.5 pixels",
        "Real: 1 of 2 found, 1 missed, 0 extra",
        "slice 0 of sequence 02" if ndim == 3 else "Test frame 1 of sequence 02",
        "Inception (2048-d) FID 9 [8, 10] 26.5 [24, 29] 40",
        "FID of 40 images is biased",
        "power spectrum, dB (largest deviation) 10 ± 2 11 ± 1.5 –",
        "Masks: no sign of copying. 4.0 % of",
    ):
        assert expected in text, expected


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to draw the page with")
def test_a_browser_draws_the_page_without_overflow(inputs, ndim, tmp_path):
    write_report(**evaluated(inputs, tmp_path, ndim))
    width, images, loaded, picture = browser(inputs["html"], tmp_path)
    assert width <= 1280 and images == loaded > 10
    assert inked_rows(picture) > 0.4


def test_page_without_optional_parts(inputs):
    inputs |= {"work": WorkFiles(), "evaluation": EvaluationFiles(), "cells": replace(inputs["cells"], rho_table=None)}
    write_report(**inputs)
    page = Page(inputs["html"])
    assert not ({"training", "time", "beside"} | EVALUATED) & set(page.ids)
    assert "Not measured" in page.text and "evaluation.regimes" in page.text and "Neighbouring" not in page.text
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


def test_equal_inputs_give_equal_pages(inputs):
    write_report(**inputs)
    first = inputs["html"].read_bytes()
    write_report(**inputs)
    assert inputs["html"].read_bytes() == first


def damage(inputs, name, ndim):
    """Break one input; gives the path that the message must name."""
    cells = inputs["cells"]
    match name:
        case "shard":
            path = cells.textures[0]
            path.write_bytes(path.read_bytes()[:200])
        case "array":
            path = cells.masks[1]
            store = MASKS.open(path)
            without = replace(MASKS, arrays={name: kind for name, kind in MASKS.arrays.items() if name != "mask"})
            without.write(path, {name: store[name] for name in without.arrays}, store.record)
        case "column":
            path = cells.crops_table
            path.write_text("label,kept\n1,True\n")
        case "table":
            path = inputs["evaluation"].tables["shape"]
            path.write_text("")
        case "images":
            path = inputs["images"].synthetic / "img-00000.ome.zarr"
            (path / "labels/cells/zarr.json").unlink()
        case "frame":
            recording = write_recording(cells.crops.with_name("data"), ndim)
            path = recording.frames()[0].image
            path.write_bytes(b"no tiff")
            inputs["images"] = replace(inputs["images"], recording=recording)
    return path


@pytest.mark.parametrize("name", ["shard", "array", "column", "table", "images", "frame"])
def test_broken_files_are_named_and_no_page_is_left(inputs, ndim, name):
    path = damage(inputs, name, ndim)
    with pytest.raises(InputError, match=re.escape(path.name)):
        write_report(**inputs)
    assert not inputs["html"].exists()


def test_no_valid_cell_is_an_input_error(inputs):
    for number, path in enumerate(inputs["cells"].textures):
        write_store(TEXTURES, path, {"cell_id": 3 * number + np.arange(3), "valid": np.zeros(3)})
    with pytest.raises(InputError, match="0 valid synthetic cells"):
        write_report(**inputs)


def test_what_the_check_of_the_data_found_stands_at_the_top_but_for_notes(inputs, tmp_path):
    table = tmp_path / "findings.csv"
    rows = "warning,a,Labels were interpolated,9 slivers,x,resize anew\nnote,b,A flat background,c,d,e\n"
    table.write_text(f"level,code,title,found,where,cure\n{rows}")
    write_report(**inputs | {"images": replace(inputs["images"], checked=table)})
    text = text_of(Page(inputs["html"]))
    assert "Labels were interpolated" in text and ": 9 slivers. Cure: resize anew." in text
    assert "A flat background" not in text
