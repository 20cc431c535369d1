"""Documents: the example of docs/adding-a-stage.md works as it stands there, links and imports lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cellcascade.data.stores import CROPS, TEXTURES
from tests.stores import write_store
from tests.workflow.dry_run import PARTS, REPOSITORY

DOCUMENTS = [*REPOSITORY.glob("*.md"), *sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "benchmarks/README.md"]
DOCUMENT = (REPOSITORY / "docs/adding-a-stage.md").read_text()
# What stands before a block of code, and what comes after the place in the file where the block goes.
BEFORE = {
    "a new file": None,
    "at its end": r"\Z",
    "in `STAGE_VERSIONS`": r"^\}\n",
    "before `class Stages`": r"^class Stages\(",
    "in `Stages`": r"(?<=: Evaluation = Evaluation\(\)\n)",
}


def insert(text: str, code: str, place: str) -> str:
    """Text of a file with a block of code at its place."""
    found = re.search(place, text, re.MULTILINE)
    assert found, place
    before, after = text[: found.start()], text[found.start() :]
    blank = "\n\n" if code.startswith(("rule ", "class ")) else ""
    return before + code + blank + after if after else before + blank + code


def blocks() -> list[tuple[str, str, str]]:
    """File, place and code of each block of the example."""
    example = DOCUMENT.split("## Example")[1].split("### 5.")[0]
    found, path = [], ""
    for words, code in re.findall(r"((?:^[^\n]+\n)+)\n```\w+\n(.*?)```", example, re.MULTILINE | re.DOTALL):
        named = re.findall(r"^`([\w./]+\.\w+)`, ", words, re.MULTILINE)
        path = named[0] if named else path
        found.append((path, next(place for place in BEFORE if place in words), code))
    return found


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository to which the example was added."""
    copy = tmp_path_factory.mktemp("repository")
    for name in (*PARTS, "src", "tests", "docs", "pyproject.toml"):
        original, ignore = REPOSITORY / name, shutil.ignore_patterns("__pycache__")
        shutil.copytree(original, copy / name, ignore=ignore) if original.is_dir() else shutil.copy(original, copy)
    for path, place, code in blocks():
        pattern, file = BEFORE[place], copy / path
        file.write_text(code if pattern is None else insert(file.read_text(), code, pattern))
    return copy


def run(folder: Path, *command: str) -> str:
    """Run a module of Python in the copy, on its own sources; give what it wrote."""
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'src'}", "XDG_CACHE_HOME": str(folder / ".cache")}
    command = [sys.executable, "-m", *command]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_example_has_all_its_blocks():
    assert [path for path, *_ in blocks()] == [
        "src/cellcascade/metrics/granularity.py",
        "tests/unit/metrics/test_granularity.py",
        "scripts/evaluate_granularity.py",
        "workflow/rules/evaluate.smk",
        "src/cellcascade/core/stages.py",
        "src/cellcascade/config/settings.py",
        "src/cellcascade/config/settings.py",
    ]


def test_tests_of_the_example_pass(changed):
    output = run(changed, "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/metrics/test_granularity.py")
    assert "2 passed" in output


def test_settings_of_the_example_get_into_the_configuration(changed):
    run(changed, "cellcascade", "defaults", "config.yaml")
    line = r"^    erode: 2 +# pixels left out along the outline of a cell \(>= 0\)$"
    assert re.search(line, (changed / "config.yaml").read_text(), re.MULTILINE)


def test_example_follows_the_style(changed):
    files = dict.fromkeys(path for path, *_ in blocks() if path.endswith(".py"))
    run(changed, "ruff", "check", *files)
    run(changed, "ruff", "format", "--check", *files)
    run(changed, "snakefmt", "--check", "workflow")


def test_rule_of_the_example_runs(changed):
    results = changed / "results/nuclei2d"
    image, mask = np.random.default_rng(0).integers(1, 99, (3, 8, 8)), np.ones((3, 8, 8))
    results.mkdir(parents=True)
    write_store(CROPS, results / "crops.zarr.zip", {"image": image, "mask": mask, "label": np.arange(3)})
    made = {"image": image[:, None], "mask": mask[:, None], "n_slices": np.ones(3)}
    for shard in ("000", "001"):
        write_store(TEXTURES, results / f"textures/shard-{shard}.zarr.zip", made)
    table = results / "evaluation/granularity.csv"
    options = ("--cores", "1", "--allowed-rules", "evaluate_granularity", "--configfile", "demo/config.yaml")
    run(changed, "snakemake", str(table.relative_to(changed)), *options)
    assert table.read_text().splitlines()[1].startswith("granularity,")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", document.read_text()):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_documents_import_exist(document):
    for name in re.findall(r"^from (cellcascade[\w.]*) import", document.read_text(), re.MULTILINE):
        path = REPOSITORY / "src" / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists() or name == "cellcascade.metrics.granularity", name
