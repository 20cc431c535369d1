"""What a user reads when data or configuration are not as they should be."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
import torch

from cellcascade.cli import main
from cellcascade.core.stages import STAGE_VERSIONS
from tests.sd_base import make_base
from tests.workflow.dry_run import REPOSITORY, job_counts, jobs


def test_missing_data_are_named_all_at_once_with_the_way_to_get_them(project):
    output = project.snakemake("all", "-n", fails=True)
    assert "4 data sets cannot be made, and nothing was run: HeLa, GOWT1, CHO, CE" in output
    for folder in ("Fluo-N2DL-HeLa", "Fluo-N2DH-GOWT1", "Fluo-N3DH-CHO", "Fluo-N3DH-CE"):
        assert str(project.folder / "data" / folder) in output
    assert "https://celltrackingchallenge.net" in output and "data_root" in output
    assert "Traceback" not in output and "Exception" not in output
    for way in ("make demo", "cellcascade init FOLDER", "snakemake download_ctc", "--config data_root=PATH"):
        assert way in output.split("There are no data in data yet.")[1]


def test_a_target_needs_its_own_data_alone(project):
    shutil.copytree(REPOSITORY / "demo/data/MouseEmbryo", project.folder / "data/Fluo-N3DH-CE")
    planned = job_counts(project.dry_run("results/CE/synthetic/"))
    assert planned["synthetic"] == 1 and planned["slices"] == 1
    output = project.dry_run("results/CHO/synthetic/", fails=True)
    assert "Fluo-N3DH-CHO is not there" in output and "Fluo-N3DH-CE" not in output


def test_problems_of_all_data_sets_come_out_before_anything_runs(project):
    data = project.folder / "data"
    shutil.copytree(REPOSITORY / "demo/data", data)
    tifffile.imwrite(data / "MouseEmbryo/01/t000.tif", np.full((51, 120, 122), 0.5, np.float32))
    (data / "DSB2018-20x/01/t003.tif").unlink()
    (data / "DSB2018-20x/01/t005.tif").write_bytes(b"II*\0cut short")
    arguments = ("--configfile", "demo/config.yaml", "--config", f"data_root={data}")
    output = project.snakemake("all", "--cores", "1", *arguments, fails=True)
    assert "2 data sets cannot be made" in output
    assert "nuclei2d: The annotated frames have 2 problems" in output
    assert "embryo3d: A frame does not hold camera counts" in output
    assert not (project.folder / "results").exists()
    again = project.dry_run("results/nuclei2d/crops.csv", *arguments, fails=True)
    assert "The annotated frames have 2 problems" in again and "LockException" not in again


def test_multiview_weights_that_cannot_be_used_stop_the_plan_before_any_job(project):
    folder, files = project.folder / "models/multiview", ("--configfile", "demo/config.yaml", "more.yaml")
    (project.folder / "more.yaml").write_text(
        "run: [nuclei2d, embryo3d, embryo_spharm]\nmultiview: {weights: models/multiview}\n"
    )
    output = project.dry_run("all", *files, fails=True)
    assert "A data set cannot be made, and nothing was run: embryo3d\n" in output and "Traceback" not in output
    assert f"No such file or directory: '{folder.relative_to(project.folder)}/config.json'" in output
    assert "run: [nuclei2d, embryo_spharm]" in output
    shutil.copytree(REPOSITORY / "src/cellcascade/weights/multiview", folder)
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(record | {"version": 1}))
    output = project.dry_run("results/embryo3d/views/shard-000.zarr.zip", *files, fails=True)
    assert "weights of version 1" in output and "Traceback" not in output and "LockException" not in output
    (folder / "config.json").write_text(json.dumps(record | {"version": STAGE_VERSIONS["train_multiview"]}))
    planned = project.dry_run("results/embryo3d/views/shard-000.zarr.zip", *files)
    (views,) = (job for job in jobs(planned) if job["rule"] == "views")
    assert "models/multiview/model.safetensors" in views["input"]


def test_a_pretrained_model_that_cannot_be_used_stops_the_plan_before_any_job(project):
    weights = Path(make_base(project.folder / "resources/someone/tiny")) / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5000])
    (weights.parents[1] / "SHA256SUMS").write_text("")
    (project.folder / "more.yaml").write_text(
        "run: [nuclei2d, embryo3d]\n"
        "datasets:\n"
        "  nuclei2d: {texture: {base: someone/tiny, space: latent}}\n"
        "  embryo3d: {texture: {base: ./models/nothing, space: latent}}\n"
    )
    output = project.dry_run("all", "--configfile", "demo/config.yaml", "more.yaml", fails=True)
    assert "2 data sets cannot be made" in output and "Traceback" not in output
    assert (
        "unet/diffusion_pytorch_model.safetensors: truncated or damaged, " in output
        and "SHA256SUMS and rerun" in output
    )
    assert "texture.base: models/nothing" in output and "no such folder" in output
    (weights.parents[1] / "SHA256SUMS").unlink()
    fetching = project.dry_run(
        "results/nuclei2d/models/texture/unet.safetensors", "--configfile", "demo/config.yaml", "more.yaml"
    )
    assert job_counts(fetching)["texture_base"] == 1


def test_configuration_errors_are_told_once_with_their_paths(project):
    (project.folder / "wrong.yaml").write_text(
        "datasets: {embryo3d: {cells: many, crop: 3}}\ndefaults: {mask_ddpm: {train: {stepps: 5}}}\n"
    )
    output = project.snakemake("all", "-n", "--configfile", "demo/config.yaml", "wrong.yaml", fails=True)
    assert output.count("The configuration has 3 problems") == 1
    for line in (
        "datasets.embryo3d.cells: Input should be a valid integer",
        "datasets.embryo3d.crop: unknown key (found 3)",
        "defaults.mask_ddpm.train.stepps: unknown key (found 5)",
    ):
        assert output.count(line) == 1, output
    assert "Traceback" not in output


def test_weights_of_another_cellpose_than_the_configured_one_stop_the_plan_before_any_job(project, monkeypatch, capsys):
    files = ("--configfile", "demo/config.yaml", "presets/evaluation-cpu.yaml", "more.yaml")
    (project.folder / "more.yaml").write_text(
        "run: [nuclei2d]\ndefaults: {evaluation: {seeds: 1, cellpose: {start: ./mine}}}\n"
    )
    for target in ("all", "results/nuclei2d/evaluation/seg.csv"):
        output = project.dry_run(target, *files, fails=True)
        assert "nuclei2d: Cellpose weights cannot be used" in output and "Traceback" not in output
    torch.save({"encoder.patch_embed.proj.weight": torch.zeros(3)}, project.folder / "mine")
    for target in ("all", "results/nuclei2d/evaluation/seg.csv"):
        output = project.dry_run(target, *files, fails=True)
        assert "found:    a network of Cellpose 4" in output and "evaluation.cellpose.version: 4" in output
    monkeypatch.chdir(project.folder)
    assert main(["check", *files[1:]]) == 1
    assert "The weights to start from are of another version of Cellpose" in capsys.readouterr().out
    torch.save({"downsample.down.res_down_0.conv.conv_0.0.weight": torch.zeros(3)}, project.folder / "mine")
    assert job_counts(project.dry_run("all", *files))["train_cellpose"] == 5


def test_a_cluster_profile_without_its_scheduler_ends_within_seconds(project):
    """Snakemake itself would wait for ever: it has no job whose end could be asked for."""
    programs = project.folder / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "env", "which"):
        (programs / name).symlink_to(shutil.which(name))
    command = [sys.executable, "-m", "snakemake", "results/nuclei2d/crops.csv", "--profile", "slurm"]
    done = subprocess.run(
        [*command, "--configfile", "demo/config.yaml"],
        cwd=project.folder,
        env=project.environment | {"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 1 and "no sbatch, squeue, scancel" in output and "Traceback" not in output
    assert "slurm_partition=cpu" in project.dry_run(
        "results/nuclei2d/crops.csv", "--profile", "slurm", "--configfile", "demo/config.yaml"
    )


def test_what_snakemake_says_of_a_configuration_that_is_none_is_in_the_document(project):
    said = (REPOSITORY / "docs/troubleshooting.md").read_text().split("## What Snakemake itself says")[1]
    (project.folder / "broken.yaml").write_text("datasets: [")
    for name, message in {
        "mine.yaml": "No such file or directory: 'mine.yaml'",
        "broken.yaml": "not valid JSON",
    }.items():
        output = project.dry_run("all", "--configfile", "demo/config.yaml", name, fails=True)
        assert message in output and message in said
