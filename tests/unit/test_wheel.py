"""The package as others install it: a wheel with its weights and templates, its requirements, and its command."""

import ast
import configparser
import importlib.metadata
import os
import re
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.environments import run

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "src"
# Imported where they are there; their errors say how to install them. psutil comes with Snakemake.
# Snakemake is imported where a workflow is planned, in a process of its own, and comes with the extra `workflow`.
OPTIONAL = {"bitsandbytes", "segment-anything", "psutil", "napari", "snakemake"}
FULL = "CELLCASCADE_FULL_INSTALL"
# What an installed package must be able to do, far from the sources.
USE = """
import sys
import cellcascade.population.compose
assert cellcascade.__file__.startswith(sys.prefix), cellcascade.__file__
from cellcascade.diffusion.multiview_weights import check_weights
check_weights("bundled")
"""


@pytest.fixture(scope="module")
def requirements(wheel) -> list[Requirement]:
    """What the wheel says that it needs, extras as well."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(file.read(name).decode())
    return [Requirement(line) for line in metadata.get_all("Requires-Dist")]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_by(item: Requirement, extra: str) -> bool:
    return item.marker is not None and item.marker.evaluate({"extra": extra})


def imported_packages() -> set[str]:
    """Packages of others that the sources import anywhere, within functions as well."""
    names = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    owners = importlib.metadata.packages_distributions()
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"cellcascade"}
    return {plain(owners.get(name, [name])[0]) for name in tops}


def test_the_wheel_holds_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if name.startswith("cellcascade/")}
    sources = (path for path in (SOURCES / "cellcascade").rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert packed == {path.relative_to(SOURCES).as_posix() for path in sources}


def test_the_wheel_tells_napari_where_the_manifest_of_its_plugin_is(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/entry_points.txt"))
        points = configparser.ConfigParser()
        points.read_string(file.read(name).decode())
        package, manifest = points["napari.manifest"]["cellcascade"].split(":")
        assert f"{package}/{manifest}" in file.namelist()


def test_the_installed_command_runs_far_from_the_sources(wheel, tmp_path):
    """Only the package is installed: what it requires is lent by this environment, without its own cellcascade."""
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env/bin/python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*install, wheel, cwd=tmp_path)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    command = tmp_path / "env/bin/cellcascade"
    assert run(command, "--version", cwd=tmp_path) == f"cellcascade {importlib.metadata.version('cellcascade')}\n"
    assert "usage: cellcascade " in run(command, "--help", cwd=tmp_path)
    assert run(python, "-m", "cellcascade", "schema", cwd=tmp_path) == run(command, "schema", cwd=tmp_path)
    run(python, "-c", USE, cwd=tmp_path)


def test_the_wheel_requires_what_the_package_imports_and_no_more(requirements):
    always = {plain(item.name) for item in requirements if item.marker is None}
    evaluation = {plain(item.name) for item in requirements if asked_by(item, "evaluation")}
    indirect = {"accelerate", "imagecodecs", "tensorboard"}  # imported by diffusers, tifffile and PyTorch for us
    assert imported_packages() - OPTIONAL - evaluation == always - indirect


def test_the_lock_file_holds_a_fitting_version_of_every_requirement(requirements):
    lines = (REPOSITORY / "requirements.lock").read_text().split()
    locked = dict(line.split("==") for line in lines)
    for item in requirements:
        if not any(asked_by(item, extra) for extra in ("benchmarks", "napari")):
            assert item.specifier.contains(locked[plain(item.name)]), item


@pytest.mark.skipif(FULL not in os.environ, reason=f"downloads every requirement: set {FULL}=1 to try it")
def test_the_wheel_brings_all_that_it_requires_into_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    run(python, "-c", USE, cwd=tmp_path)
    run(tmp_path / "env/bin/cellcascade", "--help", cwd=tmp_path)
