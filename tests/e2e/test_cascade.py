"""What a user gets, and what a second, a partial and an interrupted run do. The tests go on from each other's files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from ome_zarr_models import open_ome_zarr

from cellcascade.data.ngff import read_image
from cellcascade.data.stores import SLICES
from tests.e2e.conftest import CONFIGS
from tests.workflow.dry_run import job_counts

DATASETS = {"nuclei2d": 3, "embryo3d": 1, "embryo_spharm": 1}


def stamps(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*.zarr.zip")}


@pytest.mark.parametrize(("dataset", "count"), DATASETS.items())
def test_images_and_labels_are_valid_ome_zarr_and_agree_with_the_tables(cascade, dataset, count):
    folder = cascade.folder / "results" / dataset / "synthetic"
    manifest, cells = pd.read_csv(folder / "manifest.csv"), pd.read_csv(folder / "cells.csv")
    images = sorted(folder.glob("*.ome.zarr"))
    assert [path.name for path in images] == sorted(manifest["path"]) and len(images) == count
    for path in images:
        open_ome_zarr(path)
        open_ome_zarr(path / "labels" / "cells")
        made = read_image(path)
        image, labels = made.image[0], made.labels[0]
        assert isinstance(image, da.Array) and image.shape == labels.shape and image.ndim == (2 if count > 1 else 3)
        found = set(np.unique(labels.compute()).tolist()) - {0}
        assert found and found == set(cells.loc[cells["image"] == path.name.removesuffix(".ome.zarr"), "label"])
        pixels, mask = image.compute().astype(float), labels.compute() > 0
        assert pixels[mask].mean() > pixels[~mask].mean() + pixels[~mask].std()
        twin = folder / "clean" / path.name
        assert twin.is_dir() == (dataset == "nuclei2d")  # as tests/e2e/tiny.yaml says
        if twin.is_dir():
            clean = read_image(twin).image[0].compute()
            assert clean.shape == pixels.shape and abs((pixels - clean).mean()) < 0.1 * pixels.std()
    record = json.loads((folder / "dataset.json").read_text())
    assert record["dataset"] == dataset and record["config"]["cells"] in (5, 8)
    shards = (cascade.folder / "results" / dataset).glob("population/*/img-*.ome.zarr/**/*")
    kept = {path.stat().st_ino for path in shards if path.is_file()}
    product = {path.stat().st_ino for path in folder.glob("img-*.ome.zarr/**/*") if path.is_file()}
    assert kept == product  # links: what is kept for more images takes no disk


def test_evaluation_and_report_are_there(cascade):
    for dataset in DATASETS:
        tables = {
            path.stem: pd.read_csv(path) for path in (cascade.folder / "results" / dataset / "evaluation").glob("*.csv")
        }
        assert {"area", "eccentricity", "solidity"} <= set(tables["shape"]["property"])
        assert {"intensity_mean", "otsu_iou"} <= set(tables["texture"]["property"])
        assert {"cells_per_image", "touching_share"} <= set(tables["population"]["property"])
        assert set(tables["memorisation"]["what"]) == {"mask", "image"}
        assert set(tables["fid"]["metric"]) == {"FID", "KID"} and tables["fid"]["value"].notna().all()
        page = (cascade.folder / "results" / dataset / "report" / "index.html").read_text()
        assert "data:image/png;base64" in page and "SEG" in page
    assert "embryo_spharm" in (cascade.folder / "results/overview/index.html").read_text()


def test_cellpose_is_scored_in_every_regime_after_equal_steps(cascade):
    results = cascade.folder / "results"
    for dataset, objects in (("nuclei2d", 100), ("embryo3d", 8), ("embryo_spharm", 8)):
        seg = pd.read_csv(results / dataset / "evaluation" / "seg.csv")
        shares = {"real": 1, "copy_paste": 0.5, "both": 0.5}
        if dataset == "embryo_spharm":
            shares.pop("copy_paste")
        assert dict(zip(seg["regime"], seg["real_share"])) == shares and set(seg["dataset"]) == {dataset}
        assert seg["steps"].nunique() == 1 and set(seg["start"]) == {"scratch"}
        assert (seg["n_objects"] >= objects).all() and seg["seg"].between(0, 1).all()
        gains = pd.read_csv(results / dataset / "evaluation" / "gain.csv")
        gains = gains.query("objects == 'all' and measure == 'seg'")
        gain = gains.set_index(["regime", "over"])["gain"]
        scores = seg.set_index("regime")["seg"]
        for over in shares.keys() - {"both"}:
            assert gain["both", over] == pytest.approx(scores["both"] - scores[over])
    assert pd.read_csv(results / "nuclei2d/evaluation/seg.csv")["seg"].max() > 0.3
    assert not (results / "embryo_spharm/evaluation/cellpose/real-0").exists()
    cascade.run("ablations")
    assert "embryo_spharm" in (results / "ablations/index.html").read_text()


def test_slices_agree_with_the_mask_they_came_from_unless_shapes_are_random(cascade):
    agreement = {}
    for dataset in ("embryo3d", "embryo_spharm"):
        shard = SLICES.open(cascade.folder / "results" / dataset / "slices" / "shard-000.zarr.zip")
        agreement[dataset] = np.median(shard["section_iou"][shard["valid"] > 0])
    assert agreement["embryo3d"] >= 0.9 > agreement["embryo_spharm"]
    made = {path.name for path in (cascade.folder / "results" / "embryo_spharm").iterdir()}
    assert {"volumes", "slices", "textures", "synthetic"} <= made and not made & {"models", "masks", "views"}


def test_a_second_run_does_nothing(cascade):
    assert "Nothing to be done" in cascade.run("all")


def test_a_deleted_texture_shard_is_remade_to_the_bit_and_nothing_upstream(cascade):
    results = cascade.folder / "results" / "nuclei2d"
    shard, before = results / "textures" / "shard-000.zarr.zip", stamps(cascade.folder / "results")
    content = shard.read_bytes()
    shard.unlink()
    counts = job_counts(cascade.run("all"))
    assert shard.read_bytes() == content
    changed = {name for name, stamp in stamps(cascade.folder / "results").items() if before.get(name) != stamp}
    assert changed == {
        "nuclei2d/textures/shard-000.zarr.zip",
        "nuclei2d/evaluation/cellpose/both-0/predictions.zarr.zip",
    }
    evaluated = {f"evaluate_{what}" for what in ("textures", "population", "memorisation", "fid", "seg")}
    remade = {"textures", "population", "synthetic", "train_cellpose", "predict_cellpose", "report", "overview"}
    assert set(counts) == remade | evaluated | {"all", "total"}
    assert counts["textures"] == 1 and counts["train_cellpose"] == 1


def test_multiview_model_can_be_trained(cascade):
    cascade.run("results/shared/models/multiview/model.safetensors")
    table = pd.read_csv(cascade.folder / "results" / "shared" / "models" / "multiview" / "training.csv")
    assert table["step"].iloc[-1] == 4 and np.isfinite(table["loss"]).all()


def test_a_killed_training_resumes_and_ends_with_identical_weights(cascade):
    weights = cascade.folder / "results" / "embryo3d" / "models" / "mask_ddpm" / "model.safetensors"
    checkpoints = cascade.folder / "checkpoints" / "embryo3d"
    content = weights.read_bytes()
    weights.unlink()
    for folder in checkpoints.glob("mask_ddpm-*"):
        shutil.rmtree(folder)
    target = str(weights.relative_to(cascade.folder))
    command = [sys.executable, "-m", "snakemake", target, *CONFIGS]
    head = subprocess.Popen(command, cwd=cascade.folder, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(checkpoints.glob("mask_ddpm-*/state.pt")):
        assert head.poll() is None and time.monotonic() < deadline, head.stderr.read().decode()
        time.sleep(0.02)
    os.killpg(head.pid, signal.SIGKILL)
    head.communicate()
    assert not weights.exists()
    cascade.snakemake("--unlock", *CONFIGS)
    output = cascade.run(target)
    assert "resuming from" in output
    assert weights.read_bytes() == content
