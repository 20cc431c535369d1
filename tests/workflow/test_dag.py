"""What the workflow plans: jobs, resources, remakes."""

import math

import tifffile
import torch
import yaml

from tests.sd_base import make_base
from tests.workflow.dry_run import REPOSITORY, job_counts, jobs

SAMPLE_OR_TRAIN = {"train_mask_ddpm", "train_texture", "train_multiview", "masks", "views", "volumes", "textures"}
SEGMENT = {"train_cellpose", "predict_cellpose", "evaluate_fid"}
ON_GPU = SAMPLE_OR_TRAIN | SEGMENT
WITH_CELLPOSE = ("--configfile", "demo/config.yaml", "presets/evaluation-cpu.yaml")
TINY = """
run: [nuclei2d]
datasets:
  nuclei2d: {cells: 30, images: 2}
shards: {cells: 20}
"""


def resources(job: dict[str, str]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in job["resources"].split(", "))


def test_a_dry_run_in_a_fork_is_that_of_the_command_whatever_was_planned_before(project, demo_dry_run):
    def files(output: str) -> set[tuple[str | None, ...]]:
        return {tuple(map(job.get, ("rule", "wildcards", "input", "output", "log"))) for job in jobs(output)}

    project.dry_run("learning_curve", *WITH_CELLPOSE)
    arguments = ("all", "--configfile", "demo/config.yaml")
    for output in (project.snakemake(*arguments, "-n"), project.dry_run(*arguments)):
        assert job_counts(output) == job_counts(demo_dry_run) and files(output) == files(demo_dry_run)


def test_demo_plans_every_stage_in_2d_and_3d(demo_dry_run):
    config = yaml.safe_load((REPOSITORY / "demo/config.yaml").read_text())
    shards = {
        name: -(-config["datasets"][name]["cells"] // config["shards"]["cells"]) for name in ("nuclei2d", "embryo3d")
    }
    both = sum(shards.values())
    expected = dict.fromkeys(
        ("check", "check_tests", "crops", "background", "train_mask_ddpm", "train_texture", "population", "synthetic"),
        2,
    )
    expected |= dict.fromkeys(("evaluate_shapes", "evaluate_textures", "evaluate_population"), 2)
    expected |= dict.fromkeys(("test_crops", "evaluate_memorisation", "report"), 2)
    expected |= {"masks": both, "textures": both, "overview": 1, "all": 1}
    expected |= dict.fromkeys(("views", "volumes", "slices"), shards["embryo3d"])
    assert job_counts(demo_dry_run) == expected | {"total": sum(expected.values())}


def test_2d_textures_take_masks_and_3d_textures_take_slices(demo_dry_run):
    inputs = {job["wildcards"]: job["input"] for job in jobs(demo_dry_run) if job["rule"] == "textures"}
    assert "results/nuclei2d/masks/shard-000.zarr.zip" in inputs["dataset=nuclei2d, shard=000"]
    assert "results/embryo3d/slices/shard-000.zarr.zip" in inputs["dataset=embryo3d, shard=000"]
    assert "embryo3d/masks" not in inputs["dataset=embryo3d, shard=000"]


def test_rules_that_train_or_sample_ask_for_a_gpu_and_no_others(project):
    planned = [job for job in jobs(project.dry_run("all", *WITH_CELLPOSE)) if job["rule"] != "all"]
    assert {job["rule"] for job in planned} > ON_GPU - {"train_multiview"}
    for job in planned:
        asked = resources(job)
        assert asked.get("gpu") == ("1" if job["rule"] in ON_GPU else None), job
        assert int(asked["mem_mb"]) >= 1000 and int(asked["runtime"]) >= 10, job


def test_slurm_profile_sends_gpu_jobs_to_the_gpu_partition(project):
    output = project.dry_run("all", "--profile", "slurm", *WITH_CELLPOSE)
    for job in jobs(output):
        if job["rule"] not in ("all", "synthetic"):
            expected = "gpu" if job["rule"] in ON_GPU else "cpu"
            assert resources(job)["slurm_partition"] == expected, job


def test_ablation_reuses_models_needs_no_views_and_multiview_trains_on_request(project):
    (project.folder / "more.yaml").write_text(
        "run: [embryo3d, embryo_spharm]\n"
        "datasets:\n"
        "  embryo_spharm: {inherits: embryo3d, models_from: embryo3d, reconstruction: {method: spharm}}\n"
        "multiview: {weights: train}\n"
        "shapes: {count: 1200}\n"
        "shards: {shapes: 500}\n"
    )
    output = project.dry_run("all", "--configfile", "demo/config.yaml", "more.yaml")
    counts = job_counts(output)
    shards = counts["views"]
    assert {name: counts[name] for name in ("crops", "train_mask_ddpm", "train_texture")} == dict.fromkeys(
        ("crops", "train_mask_ddpm", "train_texture"), 1
    )
    assert counts["volumes"] == 2 * shards and counts["masks"] == shards and counts["background"] == 2
    assert counts["shapes"] == 3 and counts["train_multiview"] == 1
    planned = {(job["rule"], job.get("wildcards")): job for job in jobs(output)}
    volumes = planned["volumes", "dataset=embryo_spharm, shard=000"]
    assert volumes["input"] == "results/embryo3d/masks/shard-000.zarr.zip"
    assert (
        "results/shared/models/multiview/model.safetensors" in planned["views", "dataset=embryo3d, shard=000"]["input"]
    )


def test_a_variant_makes_cells_from_the_stage_on_that_has_other_settings(project):
    (project.folder / "more.yaml").write_text(
        "datasets:\n"
        "  denser: {inherits: nuclei2d, models_from: nuclei2d, population: {density: [1, 4]}}\n"
        "  fewer: {inherits: nuclei2d, models_from: nuclei2d, cells: 7}\n"
        "  focused: {inherits: nuclei2d, models_from: nuclei2d, population: {focus: 2}}\n"
        "  other_rho: {inherits: embryo3d, models_from: embryo3d, texture: {rho: 0}}\n"
        "  taller: {inherits: embryo3d, models_from: embryo3d, slicing: {height_ratio: 1.5}}\n"
        "  finer: {inherits: embryo3d, models_from: embryo3d, reconstruction: {resolution: 48}}\n"
        "  alone: {inherits: nuclei2d, population: {density: [1, 4]}}\n"
    )
    after = {
        "denser": set(),
        "fewer": {"masks", "textures"},
        "focused": {"masks", "textures"},
        "other_rho": {"textures"},
        "taller": {"slices", "textures"},
        "finer": {"volumes", "slices", "textures"},
        "alone": {"masks", "textures"},
    }
    targets = [f"results/{name}/report/index.html" for name in after]
    planned = jobs(project.dry_run(*targets, "--configfile", "demo/config.yaml", "more.yaml"))
    stages = {"masks", "views", "volumes", "slices", "textures"}
    made = {name: set() for name in (*after, "nuclei2d", "embryo3d")}
    for job in planned:
        if job["rule"] in stages:
            made[job["wildcards"].split(",")[0].removeprefix("dataset=")].add(job["rule"])
    assert made == after | {"nuclei2d": {"masks", "textures"}, "embryo3d": stages - {"textures"}}
    by_job = {(job["rule"], job["wildcards"].split(",")[0]): job["input"] for job in planned if "wildcards" in job}
    for rule in ("population", "evaluate_textures", "report"):
        assert "results/nuclei2d/textures/shard-000" in by_job[rule, "dataset=denser"], rule
    assert "results/embryo3d/slices/shard-000" in by_job["textures", "dataset=other_rho"]


def test_regimes_and_seeds_are_jobs_and_real_ones_need_no_synthetic_image(project):
    planned = jobs(project.dry_run("results/nuclei2d/evaluation/seg.csv", *WITH_CELLPOSE))
    inputs = {job["wildcards"]: job["input"] for job in planned if job["rule"] == "train_cellpose"}
    assert len(inputs) == 4 * 5
    for wildcards, files in inputs.items():
        generated = "regime=synthetic" in wildcards or "regime=both" in wildcards
        assert ("results/nuclei2d/synthetic" in files) == generated
        assert ("nuclei2d/evaluation/copy_paste/images" in files) == ("regime=copy_paste" in wildcards)
        assert "DSB2018-20x/02" not in files
    tested = [job["input"] for job in planned if job["rule"] == "predict_cellpose"]
    assert len(tested) == 20 and all("DSB2018-20x/02_GT" in files and "DSB2018-20x/01" not in files for files in tested)


def test_networks_of_real_cells_are_those_of_the_parent_whatever_else_is_trained(project):
    (project.folder / "more.yaml").write_text(
        "datasets:\n"
        "  variant: {inherits: nuclei2d, models_from: nuclei2d, population: {twins: true}}\n"
        "  fewer: {inherits: variant, evaluation: {regimes: [real, both], seeds: 1}}\n"
        "  longer: {inherits: fewer, evaluation: {cellpose: {train: {steps: 99}}}}\n"
    )
    targets = [f"results/{name}/evaluation/seg.csv" for name in ("fewer", "longer")]
    planned = jobs(project.dry_run(*targets, *WITH_CELLPOSE, "more.yaml"))
    trained = {job["wildcards"].removeprefix("dataset=") for job in planned if job["rule"] == "train_cellpose"}
    own = {f"{name}, regime=both, seed=0" for name in ("fewer", "longer")}
    assert trained == own | {"nuclei2d, regime=real, seed=0", "longer, regime=real, seed=0"}


def test_a_prediction_asks_for_time_by_its_planes_and_for_memory_by_the_size_of_a_frame(project):
    (project.folder / "more.yaml").write_text(
        "datasets:\n"
        "  stitched: {inherits: embryo3d, evaluation: {cellpose: {volumes: stitch}}}\n"
        "  few: {inherits: nuclei2d, evaluation: {max_test_frames: 1}}\n"
    )
    names = ("embryo3d", "stitched", "nuclei2d", "few")
    targets = [f"results/{name}/evaluation/cellpose/synthetic-0/scores.csv" for name in names]
    planned = jobs(project.dry_run(*targets, *WITH_CELLPOSE, "more.yaml"))
    asked = {job["wildcards"].split(",")[0]: resources(job) for job in planned if job["rule"] == "predict_cellpose"}
    (path,) = (REPOSITORY / "demo/data/MouseEmbryo/02").glob("*.tif")
    z, y, x = tifffile.imread(path).shape
    stretched = math.ceil(z * 1.25)
    planes = {"embryo3d": stretched + y + x, "stitched": z, "nuclei2d": 6, "few": 1}
    pixels = {"embryo3d": stretched * y * x, "stitched": z * y * x, "nuclei2d": 520 * 696, "few": 520 * 696}
    for name in names:
        assert int(asked[f"dataset={name}"]["runtime"]) == math.ceil(30 + 0.002 * planes[name])
        assert int(asked[f"dataset={name}"]["mem_mb"]) == math.ceil(6000 + 7e-5 * pixels[name])


def test_few_training_frames_are_all_that_a_variant_sees(project):
    planned = jobs(project.dry_run("learning_curve", *WITH_CELLPOSE))
    seen = {}
    for job in planned:
        frames = {name for name in job["input"].split(", ") if "DSB2018-20x/01/" in name}
        if frames:
            dataset = job["wildcards"].split(",")[0].removeprefix("dataset=")
            seen.setdefault(dataset, set()).update(frames)
    assert {name: len(frames) for name, frames in seen.items()} == {"nuclei2d_1": 1, "nuclei2d_2": 2, "nuclei2d": 12}
    own = {job["wildcards"] for job in planned if job["rule"] == "train_texture"}
    assert own == {f"dataset={name}" for name in (*seen, "embryo_3", "embryo3d")}
    readers = {job["rule"] for job in planned if "DSB2018-20x/01/" in job["input"]}
    others = {"background", "real_cells", "train_cellpose", "evaluate_population", "report"}
    assert readers == {"check", "crops"} | others


def test_an_ablation_takes_the_networks_without_synthetic_images_from_its_parent(project):
    planned = jobs(project.dry_run("ablations", *WITH_CELLPOSE))
    trained = [job["wildcards"] for job in planned if job["rule"] == "train_cellpose"]
    regimes = {
        name: {w.split("regime=")[1].split(",")[0] for w in trained if f"dataset={name}," in w}
        for name in ("embryo3d", "embryo_spharm")
    }
    assert regimes == {
        "embryo3d": {"real", "copy_paste", "synthetic", "both"},
        "embryo_spharm": {"synthetic", "both"},
    }
    assert {job["wildcards"] for job in planned if job["rule"] == "overview"} == {"page=ablations"}


def test_slices_alone_are_pasted_into_stacks_too(project):
    planned = jobs(project.dry_run("learning_curve", *WITH_CELLPOSE))
    pasted = {job["wildcards"].removeprefix("dataset=") for job in planned if job["rule"] == "copy_paste"}
    assert {"embryo3d", "embryo_3"} <= pasted


def test_a_generalist_is_fetched_by_a_local_job_and_scored_as_it_is(project):
    (project.folder / "more.yaml").write_text(
        "run: [nuclei2d]\ndefaults: {evaluation: {seeds: 1, inception: download, cellpose: {start: cyto3}}}\n"
    )
    output = project.dry_run("all", *WITH_CELLPOSE, "more.yaml")
    counts = job_counts(output)
    assert counts["cellpose_weights"] == counts["inception_weights"] == 1 and counts["train_cellpose"] == 5
    inputs = {job["wildcards"]: job["input"] for job in jobs(output) if job["rule"] == "train_cellpose"}
    assert all("resources/cellpose/cyto3" in files for files in inputs.values())
    assert any("regime=none" in wildcards for wildcards in inputs)


def test_cellpose_4_has_its_own_environment_weights_and_training_and_no_style_vectors(project):
    more = (
        "datasets:\n"
        "  nuclei_sam: {inherits: nuclei2d, models_from: nuclei2d, evaluation: {cellpose: {start: cpsam, SIZES}}}\n"
        "  nuclei_own: {inherits: nuclei2d, evaluation: {cellpose: {start: ./mine, SIZES}}}\n"
        "defaults: {evaluation: {seeds: 1}}\n"
    )
    sizes = "version: 4, patch: null, network_diameter: null"  # the preset has sizes for version 3
    (project.folder / "more.yaml").write_text(more.replace("SIZES", sizes))
    torch.save({"encoder.patch_embed.proj.weight": torch.zeros(3)}, project.folder / "mine")
    files = ("demo/config.yaml", "presets/evaluation-cpu.yaml", "more.yaml")
    for name, expected in {"nuclei2d": "segmentation", "nuclei_sam": "cellpose4", "nuclei_own": "cellpose4"}.items():
        found = project.environments(f"results/{name}/evaluation/seg.csv", *files)
        networks = {path for path in found if "/evaluation/cellpose/" in path}
        assert len(networks) == 2 * (4 if name == "nuclei2d" else 5)
        assert {found[path] for path in networks} == {expected}
        assert found.get("resources/cellpose/cpsam") == ("cellpose4" if name == "nuclei_sam" else None)
    output = project.dry_run("results/nuclei_sam/report/index.html", "--configfile", *files)
    assert "evaluate_fid" not in job_counts(output) and job_counts(output)["cellpose_weights"] == 1
    trained = [job for job in jobs(output) if job["rule"] == "train_cellpose"]
    assert {job["wildcards"].split(",")[0] for job in trained} == {"dataset=nuclei_sam"}
    assert all("resources/cellpose/cpsam" in job["input"] for job in trained)


def test_without_a_test_sequence_nothing_is_tested(project):
    (project.folder / "more.yaml").write_text("run: [nuclei2d]\ndatasets: {nuclei2d: {test_sequence: null}}\n")
    rules = set(job_counts(project.dry_run("all", *WITH_CELLPOSE, "more.yaml")))
    assert "report" in rules and not rules & {"test_crops", "train_cellpose", "evaluate_memorisation", "evaluate_seg"}


def test_hub_model_is_fetched_by_one_local_job_and_a_folder_by_none(project):
    make_base(project.folder / "models/sd")
    (project.folder / "hub.yaml").write_text(
        "run: [nuclei2d]\n"
        "datasets:\n"
        "  nuclei2d: {texture: {base: someone/some-model, space: latent}}\n"
        "  local: {inherits: nuclei2d, texture: {base: models/sd}}\n"
        "  bundled: {inherits: nuclei2d, texture: {base: nuclei, space: pixel}}\n"
    )
    target = "results/nuclei2d/models/texture/unet.safetensors"
    files = ("--configfile", "demo/config.yaml", "hub.yaml")
    output = project.dry_run(target, target.replace("nuclei2d", "local"), *files)
    assert job_counts(output)["texture_base"] == 1
    inputs = {job["wildcards"]: job["input"] for job in jobs(output) if job["rule"] == "train_texture"}
    assert inputs["dataset=nuclei2d"].endswith("resources/someone/some-model/SHA256SUMS")
    assert inputs["dataset=local"].endswith("models/sd/vae/diffusion_pytorch_model.safetensors")
    shards = [f"results/{name}/textures/shard-000.zarr.zip" for name in ("nuclei2d", "bundled")]
    sampled = [job for job in jobs(project.dry_run(*shards, *files)) if job["rule"] == "textures"]
    assert sampled[1]["input"].endswith("resources/someone/some-model/SHA256SUMS")  # nuclei2d's autoencoder
    asked = [int(resources(job)["runtime"]) for job in sampled]
    assert asked == [math.ceil(15 + 0.005 * 50 * work) for work in (1, 10)]  # a slice by a prior, by the large model


def test_an_autoencoder_by_itself_is_fetched_for_training_and_sampling(project):
    (project.folder / "hub.yaml").write_text(
        "run: [nuclei2d]\n"
        "datasets: {nuclei2d: {texture: {base: scratch, space: latent, autoencoder: someone/tiny-vae}}}\n"
    )
    output = project.dry_run(
        "results/nuclei2d/textures/shard-000.zarr.zip", "--configfile", "demo/config.yaml", "hub.yaml"
    )
    assert job_counts(output)["texture_base"] == 1
    inputs = {job["rule"]: job.get("input", "") for job in jobs(output)}
    for rule in ("train_texture", "textures"):
        assert inputs[rule].endswith("resources/someone/tiny-vae/SHA256SUMS")


def test_what_fine_tuning_takes_of_a_gpu_is_said_in_the_plan(project):
    make_base(project.folder / "models/sd")
    (project.folder / "base.yaml").write_text(
        "run: [nuclei2d]\ndatasets: {nuclei2d: {texture: {base: models/sd, space: latent}}}\n"
    )
    output = project.dry_run("all", "--configfile", "demo/config.yaml", "base.yaml")
    assert output.count("nuclei2d: fine-tuning models/sd takes about 1.0 GB of GPU memory, fits 8 GB") == 1


def test_growing_cells_remakes_only_new_and_changed_shards(project):
    (project.folder / "tiny.yaml").write_text(TINY)
    files, results = ["--configfile", "demo/config.yaml", "tiny.yaml"], project.folder / "results/nuclei2d"
    made = [
        "crops.zarr.zip",
        "crops.csv",
        "masks/shard-000.zarr.zip",
        "masks/shard-001.zarr.zip",
        "evaluation/shape.csv",
        "evaluation/shape_cells.csv",
    ]
    made += [f"models/mask_ddpm/{name}" for name in ("model.safetensors", "config.json", "training.csv")]
    for path in (results / name for name in made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    target = "results/nuclei2d/evaluation/shape.csv"
    project.snakemake(target, "--cores", "1", "--touch", "--forceall", *files)

    (project.folder / "tiny.yaml").write_text(TINY + "device: cpu\nmax_invalid_fraction: 0.5\n")
    assert "Nothing to be done" in project.dry_run(target, *files)

    (project.folder / "tiny.yaml").write_text(TINY.replace("cells: 30", "cells: 50"))
    grown = project.dry_run(target, *files)
    remade = sorted(job["wildcards"] for job in jobs(grown) if job["rule"] == "masks")
    assert remade == ["dataset=nuclei2d, shard=001", "dataset=nuclei2d, shard=002"]
    assert set(job_counts(grown)) == {"masks", "evaluate_shapes", "total"}


def test_an_export_takes_the_images_and_writes_a_folder_of_its_format(project):
    for target in ("nuclei2d/export/pairs", "embryo3d/export/stardist"):
        planned = jobs(project.dry_run(f"results/{target}", "--configfile", "demo/config.yaml"))
        (job,) = (job for job in planned if job["rule"] == "export")
        assert job["input"] == f"results/{target.split('/')[0]}/synthetic" and job["output"] == f"results/{target}"
        assert "gpu" not in resources(job)
    output = project.dry_run("results/nuclei2d/export/other", "--configfile", "demo/config.yaml", fails=True)
    assert "MissingRuleException" in output


def test_a_borrowed_background_is_learned_from_the_other_frames_alone(project):
    (project.folder / "more.yaml").write_text(
        "datasets: {crowded: {inherits: nuclei2d, train_frames: 2, background_from: nuclei2d}}"
    )
    planned = jobs(project.dry_run("results/crowded/background.zarr.zip", *WITH_CELLPOSE, "more.yaml"))
    frames = {job["rule"]: job["input"].count("DSB2018-20x/01/") for job in planned if job["rule"] != "test_crops"}
    assert frames == {"check": 2, "crops": 2, "background": 12}


def test_more_images_remake_only_new_and_changed_shards(project):
    files, target = ["--configfile", "demo/config.yaml", "many.yaml"], "results/nuclei2d/synthetic"

    def ask_for(images):
        shards = "shards: {cells: 20, images: 50}"
        text = TINY.replace("images: 2", f"images: {images}").replace("shards: {cells: 20}", shards)
        (project.folder / "many.yaml").write_text(text)

    ask_for(120)
    for job in jobs(project.dry_run(target, *files)):
        for made in (project.folder / name for name in job["output"].split(", ")):
            (made.parent if made.suffix else made).mkdir(parents=True, exist_ok=True)
            if made.suffix:
                made.write_text(made.name)
    project.snakemake(target, "--cores", "1", "--touch", "--forceall", *files)
    assert "Nothing to be done" in project.dry_run(target, *files)
    ask_for(200)
    grown = jobs(project.dry_run(target, *files))
    remade = sorted(job["wildcards"] for job in grown if job["rule"] == "population")
    assert remade == [f"dataset=nuclei2d, image_shard={shard}" for shard in ("002", "003")]  # 002 held 20 of its 50
    assert {job["rule"] for job in grown} == {"population", "synthetic"}
