"""The report of tiny 2D and 3D data sets: complete, self-contained, right in its numbers, strict on broken files."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from cellcascade.core.errors import InputError
from cellcascade.data.ngff import write_image
from cellcascade.data.shards import write_shard
from cellcascade.metrics.shape import compare
from cellcascade.report.dataset import write_report
from cellcascade.report.sources import group_reasons, read_benchmarks
from tests.unit.report.test_findings import all_tables, write_tables

SIZE, CELLS = 16, 6
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def discs(n, rng):
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.stack([(x**2 + (1 + 0.3 * rng.random()) * y**2 < rng.uniform(9, 36)) for _ in range(n)]).astype("u1")


def ball(radius, size=24):
    z, y, x = (2 * np.mgrid[:size, :size, :size] + 1) / size - 1
    return radius - np.sqrt(z**2 + y**2 + x**2)


def write_cells(folder, ndim, rng):
    """Shards of all stages; cell 1 fails as a mask, cell 4 as a volume (3D)."""
    ids, valid = np.arange(CELLS, dtype="i4"), np.array([1, 0, 1, 1, 1, 1], "u1")
    mask = discs(CELLS, rng) * valid[:, None, None]
    slices = np.stack([mask * 0, mask, mask], 1) if ndim == 3 else mask[:, None]
    paths = {name: [] for name in ("masks", "views", "volumes", "slices", "textures")}

    def write(stage, arrays, version=1, **attributes):
        for part in (slice(0, 3), slice(3, 6)):
            path = folder / stage / f"shard-{part.start // 3:03d}.zarr.zip"
            split = {key: value if key.endswith("trinsics") else value[part] for key, value in arrays.items()}
            write_shard(
                path, schema=f"{stage}/{version}", arrays={**split, "cell_id": ids[part]}, attributes=attributes
            )
            paths[stage].append(path)

    write("masks", {"mask": mask, "valid": valid}, reasons={"1": "3 pieces"}, redraws=4)
    if ndim == 3:
        views = rng.normal(size=(CELLS, 2, 3, 8, 8)).astype("f4") * valid[:, None, None, None, None]
        cameras = {"extrinsics": np.zeros((2, 4, 4), "f4"), "intrinsics": np.zeros((2, 3, 4), "f4")}
        write("views", {"views": views, **cameras, "valid": valid}, version=2, reasons={"1": "3 pieces"})
        valid = valid * (ids != 4).astype("u1")
        sdf = np.stack([ball(0.6)] * CELLS).astype("f2")
        reasons = {"1": "3 pieces", "4": "reprojection IoU 0.61 is below 0.8"}
        iou = np.full((CELLS, 2), 0.97, "f4")
        write(
            "volumes", {"sdf": sdf, "reprojection_iou": iou, "section_iou": iou[:, 0], "valid": valid}, reasons=reasons
        )
        counts = {"n_slices": np.full(CELLS, 3, "i4"), "widest": np.ones(CELLS, "i4")}
        arrays = {"mask": slices, **counts, "section_iou": np.full(CELLS, 0.93, "f4"), "valid": valid}
        write("slices", arrays, dz_um=2.0, reasons=reasons)
    image = (slices * 100 + rng.integers(0, 20, slices.shape)).astype("u2")
    write("textures", {"image": image, "mask": slices, "valid": valid}, reasons={}, background=10.0)
    return paths


def write_frame(path, shape, voxel_size_um, rng):
    labels = np.zeros(shape, "u2")
    labels[..., 4:10, 4:10], labels[..., 12:20, 12:20] = 1, 2
    image = ((labels > 0) * 80 + rng.integers(0, 20, shape)).astype("u2")
    write_image(path, image, labels, voxel_size_um=voxel_size_um, levels=2)


def write_crops(folder, voxel_size_um, shape, rng):
    mask = discs(8, rng)
    widest = np.array([1, 0, 1, 1, 1, 1, 1, 1], "u1")
    arrays = {
        "image": (mask * 90 + rng.integers(0, 20, mask.shape)).astype("u2"),
        "mask": mask,
        "widest": widest,
        "brightness": rng.uniform(80, 110, 8).astype("f4"),
    }
    attributes = {
        "dataset": "TOY",
        "voxel_size_um": list(voxel_size_um),
        "window": [3.0, 123.0],
        "frame_shape": list(shape),
        "sequence": "01",
        "cells_per_frame": [3, 4],
    }
    write_shard(folder / "crops.zarr.zip", schema="crops/1", arrays=arrays, attributes=attributes, items_per_chunk=256)
    reasons = ["", "touches border", "", "touches border", "too small", ""]
    pd.DataFrame({"label": range(6), "kept": [not r for r in reasons], "reason": reasons}).to_csv(
        folder / "crops.csv", index=False
    )


@pytest.fixture(params=[2, 3], scope="module")
def built(tmp_path_factory, request):
    """Everything `write_report` takes, for a 2D and a 3D data set, and the folder that holds it."""
    tmp_path = tmp_path_factory.mktemp(f"built{request.param}d")
    ndim, rng = request.param, np.random.default_rng(0)
    voxel, shape = ((2.0, 0.5, 0.5), (6, 32, 40)) if ndim == 3 else ((0.5, 0.5), (32, 40))
    write_crops(tmp_path, voxel, shape, rng)
    paths = write_cells(tmp_path, ndim, rng)
    for index in range(2):
        write_frame(tmp_path / f"synthetic/img-{index:05d}.ome.zarr", shape, voxel, rng)
    pd.DataFrame({"image": ["img-00000", "img-00001"], "not_placed": [0, 3]}).to_csv(
        tmp_path / "synthetic/manifest.csv", index=False
    )
    pd.DataFrame({"image": ["img-00000"] * 2 + ["img-00001"] * 2, "label": [1, 2, 1, 2]}).to_csv(
        tmp_path / "synthetic/cells.csv", index=False
    )
    compare(tmp_path / "crops.zarr.zip", paths["masks"], table=tmp_path / "shape.csv")
    likeness = {"rho": [0.0, 1.0, 4.0], "synthetic": [0.1, 0.5, 0.9], "real": 0.3, "pairs": 24}
    pd.DataFrame(likeness)[: 3 if ndim == 3 else 0].to_csv(tmp_path / "rho.csv", index=False)
    log = pd.DataFrame({"step": [10, 20], "loss": [0.5, 0.25], "seconds": [4.0, 75.0]})
    log.to_csv(tmp_path / "training.csv", index=False)
    for stage, seconds in (("crops", 3.0), ("masks/shard-000", 40.0), ("masks/shard-001", 50.0)):
        path = tmp_path / f"benchmarks/{stage}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:03\t{100 + seconds}\n")
    return tmp_path, {
        "dataset": "TOY <2>",
        "config": {"cells": CELLS, "voxel_size_um": voxel, "texture": {"base": "scratch & new"}},
        "crops": tmp_path / "crops.zarr.zip",
        "crops_table": tmp_path / "crops.csv",
        **paths,
        "synthetic": tmp_path / "synthetic",
        "shape_table": tmp_path / "shape.csv",
        "training": {"mask_ddpm": tmp_path / "training.csv"},
        "benchmarks": tmp_path / "benchmarks",
        "html": tmp_path / "report/index.html",
        "rho_table": tmp_path / "rho.csv",
        "rho": 0.7,
    }


@pytest.fixture
def inputs(built, tmp_path):
    """A copy of `built` that a test may damage."""
    root, arguments = built
    shutil.copytree(root, tmp_path / "copy")

    def moved(value):
        if isinstance(value, Path):
            return tmp_path / "copy" / value.relative_to(root)
        return [moved(item) for item in value] if isinstance(value, list) else value

    training = {name: moved(path) for name, path in arguments["training"].items()}
    return {name: moved(value) for name, value in arguments.items()} | {"training": training}


class Page(HTMLParser):
    """Text, headings, addresses and images of a page; fails on tags that are not closed in order."""

    VOID = {"meta", "img", "input", "br", "link"}

    def __init__(self, path):
        super().__init__()
        self.text, self.ids, self.links, self.images, self.open = "", [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[key] for key in ("src", "href", "srcset", "action") if key in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            assert attrs["alt"]
            data = base64.b64decode(attrs["src"].removeprefix("data:image/png;base64,"), validate=True)
            self.images.append(np.asarray(Image.open(io.BytesIO(data))))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += " " + data
        else:
            assert "url(" not in data and "@import" not in data


def test_page_is_complete_and_needs_nothing_else(inputs, tmp_path):
    frame = tmp_path / "t000.tif"
    ndim = len(inputs["config"]["voxel_size_um"])
    tifffile.imwrite(frame, np.full((6, 30, 44) if ndim == 3 else (30, 44), 90, "u2"))
    write_report(**inputs, real_frame=frame)
    page = Page(inputs["html"])
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert "<script" not in inputs["html"].read_text()
    sections = ["cells", "images", "beside", "distributions", "shapes", "dropped", "training", "time", "configuration"]
    assert set(sections) <= set(page.ids)
    assert ("in-3d" in page.ids) == (ndim == 3) == ("Neighbouring slices" in page.text)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    text = re.sub(r"\s+", " ", page.text)
    valid = 4 if ndim == 3 else 5
    for expected in (
        "TOY <2>",
        f"synthetic cells valid after all stages {valid} of 6",
        "labelled cells in them (2.0 an image; real 3.5) 4",
        "7 of 7 real cells",
        "5 valid synthetic masks",
        "linear display, window 3 to 123 counts",
        "touches border 2 33.3 %",
        "too small 1 16.7 %",
        "3 pieces (1); 8 masks drawn again",
        "3 of 7 cells drawn for the images found no room (1 of 2 images)",
        "mask_ddpm 20 0.2500 1 min 15 s",
        "masks 2 1 min 30 s 50.0 s 150 MB",
        "crops 1 3.0 s",
        "scratch & new",
        "cellcascade",
        "30 × 40 pixels of both",
        f"{valid} real and {valid} synthetic cells, shuffled",
    ):
        assert expected in text, expected
    if ndim == 3:
        for expected in (
            "reprojection IoU 0.61 is below 0.8 (1)",
            "views 6 5 0 ",
            "2 predicted views their thickness reconstructed surface",
            "median IoU of the widest slice with its source mask 0.93",
            "3 of 3 slices, 2 µm apart; widest: number 2",
            "real cells correlate by 0.30 (24 pairs). Textured anew within the same outlines, by 0.10 at ρ = 0, "
            "0.50 at ρ = 1, 0.90 at ρ = 4: ρ = 0.58 fits the real ones best. "
            "The textures of this page were made with ρ = 0.7.",
            "XZ (below)",
        ):
            assert expected in text, expected


def browser(html, folder):
    """Draw a page 1280 pixels wide; gives its full width, how many images it has and has loaded, and the picture."""
    script = "[document.documentElement.scrollWidth, document.images.length, "
    script += "[...document.images].filter(image => image.naturalWidth > 0).length].join(' ')"
    probe, picture = folder / "probe.html", folder / "page.png"
    probe.write_text(html.read_text().replace("</body>", f"<script>document.title = {script}</script></body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'user'}"]
    call = [CHROMIUM, *flags, "--window-size=1280,2600"]
    subprocess.run([*call, f"--screenshot={picture}", html.as_uri()], check=True, capture_output=True, timeout=120)
    dumped = subprocess.run([*call, "--dump-dom", probe.as_uri()], check=True, capture_output=True, timeout=120)
    numbers = re.search(r"<title>(\d+) (\d+) (\d+)</title>", dumped.stdout.decode()).groups()
    return *map(int, numbers), np.asarray(Image.open(picture).convert("RGB"))


def inked_rows(picture):
    """Share of the rows that hold anything; a right margin that is not empty is an error."""
    assert picture.shape == (2600, 1280, 3)
    inked = (np.abs(picture.astype(int) - picture[0, 0]) > 40).any(2)
    assert not inked[:, 1230:].any()
    return inked.any(1).mean()


def write_test_sequence(folder, ndim):
    """Two annotated frames of sequence 02, and stores of their segmentation by two networks."""
    labels = np.zeros((6, 32, 40) if ndim == 3 else (32, 40), "u2")
    labels[..., 4:10, 4:10], labels[..., 12:20, 12:20] = 1, 2
    for path, pixels in (("02/t{:03d}.tif", labels * 40 + 10), ("02_ST/SEG/man_seg{:03d}.tif", labels)):
        for number in range(2):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / path.format(number), pixels)
    stores = []
    for regime, result in (("real", labels * (labels == 1)), ("both", labels)):
        stores.append(folder / f"{regime}-0/predictions.zarr.zip")
        arrays = {"mask": np.stack([result] * 2), "frame": np.arange(2, dtype="i4")}
        write_shard(stores[-1], schema="predictions/1", arrays=arrays, attributes={"regime": regime, "seed": 0})
    return stores


def test_page_with_the_evaluation(inputs, tmp_path):
    ndim = len(inputs["config"]["voxel_size_um"])
    stores = write_test_sequence(tmp_path / "data", ndim)
    tables = write_tables(tmp_path / "evaluation", all_tables())
    write_report(**inputs, evaluation=tables, predictions=stores, truth=(tmp_path / "data", "02"))
    page = Page(inputs["html"])
    assert {"verdict", "segmentation", "segmented-frame", "features", "shapes", "memorisation"} <= set(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    text = re.sub(r"\s+", " ", page.text)
    for expected in (
        "+0.050 SEG of Both over Real: adding synthetic images to the real ones improved the segmentation",
        "Both 0.870 ± 0.010 +0.050 [+0.025, +0.075] 0.900 0.800 0.850 0.700 0.200 3",
        "Training: 300 gradient steps in every regime, from scratch, cell diameter 21.5 pixels",
        "Real: 1 of 2 found, 1 missed, 0 extra",
        "slice 0 of sequence 02" if ndim == 3 else "Test frame 1 of sequence 02",
        "Inception (2048-d) FID 9 [8, 10] 26.5 [24, 29] 40",
        "FID of 40 images is biased",
        "power spectrum, dB (largest deviation) 10 ± 2 11 ± 1.5 –",
        "Masks: no sign of copying. 4.0 % of",
        "python 3.",
    ):
        assert expected in text, expected


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to draw the page with")
def test_a_browser_draws_the_page_without_overflow(inputs, tmp_path):
    stores = write_test_sequence(tmp_path / "data", len(inputs["config"]["voxel_size_um"]))
    tables = write_tables(tmp_path / "evaluation", all_tables())
    write_report(**inputs, evaluation=tables, predictions=stores, truth=(tmp_path / "data", "02"))
    width, images, loaded, picture = browser(inputs["html"], tmp_path)
    assert width <= 1280 and images == loaded > 10
    assert inked_rows(picture) > 0.4


def test_page_without_optional_parts(inputs):
    inputs |= {"training": {}, "benchmarks": None}
    write_report(**inputs, real_frame="missing.tif")
    page = Page(inputs["html"])
    evaluated = {"segmentation", "segmented-frame", "features", "memorisation"}
    assert not ({"training", "time", "beside"} | evaluated) & set(page.ids)
    assert "Not measured" in page.text and "evaluation.regimes" in page.text
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


def test_equal_inputs_give_equal_pages(inputs):
    write_report(**inputs)
    first = inputs["html"].read_bytes()
    write_report(**inputs)
    assert inputs["html"].read_bytes() == first


def damage(inputs, name):
    """Break one input; gives the path that the message must name."""
    match name:
        case "shard":
            path = inputs["textures"][0]
            path.write_bytes(path.read_bytes()[:200])
        case "array":
            path = inputs["masks"][1]
            write_shard(path, schema="masks/1", arrays={"cell_id": np.arange(3, 6), "valid": np.ones(3, "u1")})
        case "column":
            path = inputs["crops_table"]
            path.write_text("label,kept\n1,True\n")
        case "table":
            path = inputs["shape_table"]
            path.write_text("")
        case "images":
            path = inputs["synthetic"] / "img-00000.ome.zarr"
            (path / "labels/cells/zarr.json").unlink()
        case "frame":
            path = inputs["crops_table"].with_name("broken.tif")
            path.write_bytes(b"no tiff")
            inputs["real_frame"] = path
    return path


@pytest.mark.parametrize("name", ["shard", "array", "column", "table", "images", "frame"])
def test_broken_files_are_named_and_no_page_is_left(inputs, name):
    path = damage(inputs, name)
    with pytest.raises(InputError, match=re.escape(path.name)):
        write_report(**inputs)
    assert not inputs["html"].exists()


def test_no_valid_cell_is_an_input_error(inputs):
    for path in inputs["textures"]:
        arrays = {"image": np.zeros((3, 1, 4, 4)), "mask": np.zeros((3, 1, 4, 4)), "cell_id": np.arange(3)}
        write_shard(path, schema="textures/1", arrays={**arrays, "valid": np.zeros(3, "u1")})
    with pytest.raises(InputError, match="0 valid synthetic cells"):
        write_report(**inputs)


def test_reasons_that_differ_in_numbers_count_together():
    reasons = ["IoU 0.71 < 0.8", "empty", "IoU 0.5 < 0.8", "2 pieces"]
    assert group_reasons(reasons) == [("IoU … < …", 2), ("empty", 1), ("2 pieces", 1)]


def test_benchmarks_follow_the_cascade_and_tell_what_they_could_not_read(tmp_path):
    texts = {
        "textures/shard-000": "s\tmax_rss\n5\t-\n",
        "evaluation/cellpose/train/real-0": "s\tmax_rss\n20\t9\n",
        "evaluation/cellpose/train/both-0": "s\tmax_rss\n30\t8\n",
        "crops": "s\tmax_rss\n7\t12.5\n",
        "masks/shard-001": "",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.tsv").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.tsv").write_text(text)
    table, unread = read_benchmarks(tmp_path)
    assert list(table["stage"]) == ["crops", "textures", "evaluation/cellpose/train"]
    assert unread == ["masks/shard-001"] and table["seconds"].iloc[2] == 50
    assert table["max_rss_mb"].iloc[0] == 12.5 and np.isnan(table["max_rss_mb"].iloc[1])
    assert read_benchmarks(tmp_path / "missing")[0].empty
