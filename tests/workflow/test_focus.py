"""Cells that networks miss are judged where a data set asks for them, and nowhere else."""

from tests.workflow.dry_run import job_counts, jobs
from tests.workflow.test_dag import WITH_CELLPOSE, resources

FOCUSED = """
datasets:
  focused: {inherits: nuclei2d, models_from: nuclei2d, population: {focus: 2}}
  more: {inherits: nuclei2d, models_from: nuclei2d, population: {focus: 4}}
  stack: {inherits: embryo3d, population: {focus: 2}}
"""


def inputs_of(planned, rule):
    return {
        job["wildcards"].split(",")[0].removeprefix("dataset="): job["input"] for job in planned if job["rule"] == rule
    }


def test_cells_are_judged_where_a_data_set_asks_for_it_once_for_all_that_share_models(project, demo_dry_run):
    (project.folder / "more.yaml").write_text(FOCUSED)
    assert "hardness" not in job_counts(demo_dry_run)
    names = ("nuclei2d", "focused", "more", "stack")
    targets = [f"results/{name}/evaluation/seg.csv" for name in names]
    planned = jobs(project.dry_run(*targets, *WITH_CELLPOSE, "more.yaml"))
    judged = inputs_of(planned, "hardness")
    assert judged.keys() == {"nuclei2d", "stack"}
    assert "/01/" in judged["nuclei2d"] and "/02" not in judged["nuclei2d"] and "/02" not in judged["stack"]
    for rule in ("masks", "textures", "population", "copy_paste", "synthetic"):
        given = inputs_of(planned, rule)
        assert all("results/nuclei2d/hardness.csv" in given[name] for name in ("focused", "more")), rule
        assert "results/stack/hardness.csv" in given["stack"] and "hardness" not in given["nuclei2d"], rule


def test_judging_asks_for_a_gpu_and_for_time_by_its_steps_and_frames(project):
    (project.folder / "more.yaml").write_text(FOCUSED + "  slow: {inherits: stack, hardness: {steps_share: 1}}\n")
    targets = [f"results/{name}/hardness.csv" for name in ("nuclei2d", "stack", "slow")]
    planned = [job for job in jobs(project.dry_run(*targets, *WITH_CELLPOSE, "more.yaml")) if job["rule"] == "hardness"]
    asked = {job["wildcards"].removeprefix("dataset="): resources(job) for job in planned}
    assert {each["gpu"] for each in asked.values()} == {"1"}
    assert int(asked["nuclei2d"]["runtime"]) == 33  # 2 x 48 steps, 12 frames
    assert int(asked["stack"]["runtime"]) < int(asked["slow"]["runtime"]) == int(asked["stack"]["runtime"]) + 12
    assert int(asked["stack"]["mem_mb"]) > int(asked["nuclei2d"]["mem_mb"]) > 16000


def test_weights_to_judge_with_are_looked_at_before_anything_runs(project):
    (project.folder / "more.yaml").write_text(
        "run: [nuclei2d]\ndatasets: {nuclei2d: {population: {focus: 1}, evaluation: {cellpose: {start: ./absent}}}}\n"
    )
    output = project.dry_run("all", "--configfile", "demo/config.yaml", "more.yaml", fails=True)
    assert "Cellpose weights cannot be used" in output and "cellpose.start: absent" in output


def test_pasted_images_that_are_focused_otherwise_are_other_ones(project):
    (project.folder / "more.yaml").write_text(FOCUSED)
    planned = jobs(project.dry_run("results/focused/evaluation/seg.csv", *WITH_CELLPOSE, "more.yaml"))
    trained = {job["wildcards"].split(", seed")[0] for job in planned if job["rule"] == "train_cellpose"}
    own = {f"dataset=focused, regime={regime}" for regime in ("copy_paste", "synthetic", "both")}
    assert trained == own | {"dataset=nuclei2d, regime=real"}
