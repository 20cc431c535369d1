"""Data sets of one's own, of other layouts than the challenge's, in the workflow."""

from tests.unit.data.layouts.writing import folders, ome_zarr, scenes
from tests.workflow.dry_run import job_counts, jobs

MINE = """
data_root: .
datasets:
  mine: {folder: Mine, voxel_size_um: [0.5, 0.5], cells: 30, images: 2, %s}
defaults: {evaluation: {regimes: []}, population: {frame_shape: [64, 64]}}
"""


def test_a_configuration_of_ones_own_plans_its_data_sets_alone(project):
    folders("images/a {}.tif", "masks/a {}.tif")(project.folder / "Mine", *scenes(6))
    (project.folder / "mine.yaml").write_text(MINE % "crops: {size: 64}")
    output = project.dry_run("all", "--configfile", "mine.yaml")
    assert {job["wildcards"].split(",")[0] for job in jobs(output) if "wildcards" in job} == {"dataset=mine"}
    inputs = {job["rule"]: job["input"] for job in jobs(output)}
    assert "Mine/images/a 0.tif#" in inputs["crops"] and "Mine/masks/a 0.tif#" in inputs["crops"]
    assert "Mine/images/a 3.tif" not in inputs["crops"] and "Mine/images/a 3.tif" in inputs["test_crops"]
    (project.folder / "mine.yaml").write_text(MINE % "test_share: 0")
    planned = job_counts(project.dry_run("all", "--configfile", "mine.yaml"))
    assert planned["report"] == 1 and "test_crops" not in planned


def test_every_file_of_an_ome_zarr_is_an_input(project):
    ome_zarr("0.5")(project.folder / "Mine", *scenes(2))
    (project.folder / "mine.yaml").write_text(MINE % "channel: 1, labels: nuclei, test_share: 0")
    output = project.dry_run("results/mine/crops.csv", "--configfile", "mine.yaml")
    (inputs,) = (job["input"] for job in jobs(output) if job["rule"] == "crops")
    assert "Mine/img0.ome.zarr/s0/zarr.json" in inputs and "Mine/img1.ome.zarr/labels/nuclei/s0/c/0/0/0" in inputs
    assert "/s1/" not in inputs and "labels/empty" not in inputs


def test_what_cannot_be_read_stops_the_plan_with_one_message(project):
    (project.folder / "Mine").mkdir()
    (project.folder / "Mine/frame.png").write_bytes(b"")
    (project.folder / "mine.yaml").write_text(MINE % "crops: {size: 64}")
    output = project.dry_run("results/mine/synthetic/", "--configfile", "mine.yaml", fails=True)
    assert "No frames with annotations were found" in output and "frame.png" in output and "Traceback" not in output


def test_braces_in_names_of_files_stop_the_plan_with_one_message(project):
    folders("images/{{{}}}.tif", "masks/{{{}}}.tif")(project.folder / "Mine", *scenes(2))
    (project.folder / "mine.yaml").write_text(MINE % "crops: {size: 64}")
    output = project.dry_run("results/mine/synthetic/", "--configfile", "mine.yaml", fails=True)
    assert "Names of files hold braces" in output and "images/{0}.tif" in output and "Traceback" not in output
