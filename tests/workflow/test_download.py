"""The target that fetches data sets: from a real server, local, and never an output that Snakemake could remove."""

import io
import shutil
import zipfile

import yaml

from tests.unit.data.serving import Served, serving
from tests.workflow.dry_run import REPOSITORY, jobs

SOURCE = REPOSITORY / "demo/data/MouseEmbryo"


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for path in sorted(SOURCE.rglob("*.tif")):
            opened.write(path, f"Embryo/{path.relative_to(SOURCE)}")
    return buffer.getvalue()


def configure(project, address: str) -> tuple[str, ...]:
    entry = {"folder": "Embryo", "archive": address}
    raw = {"run": ["embryo3d"], "data_root": "fetched", "datasets": {"embryo3d": entry}}
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(raw))
    return "--configfile", "demo/config.yaml", "mine.yaml"


def test_a_data_set_is_fetched_and_used(project):
    with serving(Served(archive(), drops=[10_000])) as server:
        project.snakemake("download_ctc", "--cores", "1", *configure(project, server.address))
        files = configure(project, server.address)
    assert server.ranges == [None, "bytes=10000-"]
    planned = project.dry_run("results/embryo3d/crops.csv", *files)
    assert {job["rule"] for job in jobs(planned)} == {"check", "crops"}
    there = {
        path.relative_to(project.folder / "fetched/Embryo") for path in (project.folder / "fetched").rglob("*.tif")
    }
    assert there == {path.relative_to(SOURCE) for path in SOURCE.rglob("*.tif")}


def test_what_cannot_be_fetched_leaves_the_data_that_are_there(project):
    shutil.copytree(SOURCE, project.folder / "fetched/Other")
    with serving(Served(b"no archive")) as server:
        output = project.snakemake("download_ctc", "--cores", "1", *configure(project, server.address), fails=True)
    assert "A data set's archive cannot be unpacked" in output
    assert [path.name for path in (project.folder / "fetched").iterdir()] == ["Other"]


def test_without_an_archive_the_plan_says_so(project):
    output = project.dry_run("download_ctc", "--configfile", "demo/config.yaml", fails=True)
    assert "No data set that is run has an archive" in output and "Traceback" not in output
