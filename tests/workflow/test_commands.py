"""Every command of README.md and docs/: run, or planned where it takes long, on small data that stand for a user's."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from cellcascade.cli import main
from tests.real_data import DATA, planes, stacks
from tests.synthetic import scattered, write_set
from tests.unit.data.layouts.writing import folders, ome_zarr
from tests.workflow.dry_run import REPOSITORY, Project

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCED = re.compile(r"^ *```(?:bash|sh)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:cellcascade|snakemake|make|sbatch|pip|python|tensorboard) [^`]+)`")
PAPER = {"Fluo-N2DL-HeLa": "DSB2018-20x", "Fluo-N2DH-GOWT1": "DSB2018-20x"}
PAPER |= {"Fluo-N3DH-CHO": "MouseEmbryo", "Fluo-N3DH-CE": "MouseEmbryo"}

# What no test of this file can give, and where it is given instead.
ELSEWHERE = {
    "make ": "installs, or takes long: a test below looks for its targets",
    "source ": "the shell of an environment",
    "git clone": "needs the network",
    "pip install": "needs the network",
    "pytest ": "this is pytest",
    "python -c": "asks for the CUDA of a cluster",
    "python benchmarks/": "takes hours: tests of benchmarks/ are its own",
    "python train.py": "belongs to exports: tests/unit/exports/test_stardist.py",
    "tensorboard ": "serves for ever",
    "sinfo ": "needs a cluster",
    "sacctmgr ": "needs a cluster",
    "sbatch ": "needs a cluster: tests/slurm/test_recovery.py",
    "cat logs/": "shows what a job on a cluster wrote",
    "snakemake prior": "tests/workflow/test_prior.py",
    "snakemake -n results/GOWT1/evaluation/granularity.csv": "tests/workflow/test_documents.py",
    "snakemake results/GOWT1_sam/": "needs conda: tests/workflow/test_dag.py plans its environments",
    "cellcascade needs ": "no command, but a message",
    "cellcascade fit ": "takes minutes: tests/e2e/test_own_data.py runs it",
    "cellcascade preview results/mine/synthetic --napari": "opens a window: tests/unit/report/test_napari.py",
    "napari --plugin cellcascade ": "opens a window: tests/unit/report/test_napari.py",
}
NAMES = {"FORMAT": "cellpose", "PATH": "results/mine/synthetic", "CLASSES": "classes"}


def commands() -> list[str]:
    """All commands of the documents, each once; comments and what continues a line are taken out."""
    found: dict[str, None] = {}
    for document in DOCUMENTS:
        text = document.read_text()
        lines = [line for block in FENCED.findall(text) for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
        lines = [re.split(r"(?:^|\s+)#", line.strip())[0] for line in lines]
        inline = INLINE.findall(re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
        given = (" ".join(line.split()) for line in [*lines, *inline])
        found |= dict.fromkeys(line for line in given if len(line.split()) > 1)
    return list(found)


EVERY = commands()
HERE = [command for command in EVERY if not any(command.startswith(start) for start in ELSEWHERE)]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The workflow with data under the names of the documents, and the configurations that `init` writes for them."""
    project = Project(tmp_path_factory.mktemp("user"))
    place = project.folder
    for name, stands_for_it in PAPER.items():
        shutil.copytree(DATA / stands_for_it, place / "data" / name)
        for sequence in ("01", "02"):
            silver, gold = (place / "data" / name / f"{sequence}_{kind}" for kind in ("ST", "GT"))
            if not silver.exists():
                silver.symlink_to(gold.name)
    for name in ("FOLDER", "wells"):
        folders("images/{}.tif", "masks/{}.tif")(place / name, *planes(3))
    ome_zarr("0.5")(place / "zarr", *stacks())
    (place / "zarr/img0.ome.zarr").rename(place / "embryo.ome.zarr")
    shutil.make_archive(str(place / "Fluo-N2DH-GOWT1"), "zip", place / "data", "Fluo-N2DH-GOWT1")
    images = [scattered((96, 112), 12, seed) for seed in range(4)]
    write_set(place / "results/mine/synthetic", images)
    for name, file in (("02_GT/SEG", "man_seg000.tif"), ("02_RES", "mask000.tif")):
        (place / name).mkdir(parents=True)
        tifffile.imwrite(place / name / file, images[0][1])
    (place / "classes").mkdir()
    tifffile.imwrite(place / "classes/a.tif", (images[0][1] > 0).astype(np.uint8))
    return project


@pytest.fixture
def here(user: Project, monkeypatch) -> Project:
    """The same, as the current folder of a user whose home it is, with the configurations that commands name."""
    monkeypatch.chdir(user.folder)
    monkeypatch.setenv("HOME", str(user.folder))
    for source, name in (("FOLDER", "mine"), ("wells", "wells"), ("Fluo-N2DH-GOWT1.zip", "gowt1")):
        if not (user.folder / f"{name}.yaml").exists():
            assert main(["init", source, "--out", f"{name}.yaml"]) == 0
    return user


@pytest.mark.parametrize("command", HERE)
def test_a_command_of_the_documents_does_what_it_says(here, capsys, command):
    program, *words = [NAMES.get(word, word) for word in shlex.split(command.split(" > ")[0])]
    if program == "snakemake":
        words = [word.replace("data_root=PATH", "data_root=data") for word in words]
        output = here.dry_run(*(word for word in words if word != "-n"))
        assert "This was a dry-run" in output or "Nothing to be done" in output
    elif program == "python":
        run_module(here, *words)
    else:
        assert program == "cellcascade"
        run_command(here, words)
        assert capsys.readouterr().out.strip() or words[0] == "schema"


def run_module(project: Project, *words: str) -> None:
    done = subprocess.run([sys.executable, *words], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("#"), done.stderr


def run_command(project: Project, words: list[str]) -> None:
    """Run a command of ours in this process; what it is to write is not there yet."""
    words = [str(project.folder / word[2:]) if word.startswith("~/") else word for word in words]
    if words == [words[0]]:  # named without its arguments, as "see `cellcascade export`"
        with pytest.raises(SystemExit) as caught:
            main([words[0], "--help"])
        assert caught.value.code == 0
        return
    if words[0] == "init":
        Path(words[words.index("--out") + 1]).unlink()
    elif words[0] in ("export", "instances"):
        shutil.rmtree(words[3 if words[0] == "export" else 2], ignore_errors=True)
    assert main(words) == 0


def test_what_is_not_run_here_is_named_and_still_said_somewhere():
    for start, why in ELSEWHERE.items():
        assert any(command.startswith(start) for command in EVERY), start
        for path in re.findall(r"tests/\S+\.py", why):
            assert (REPOSITORY / path).is_file(), path
    assert len(HERE) > 30


def test_targets_of_make_are_there():
    targets = {
        word for command in EVERY if command.startswith("make ") for word in command.split(" && ")[0].split()[1:]
    }
    for target in targets:
        planned = subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True)
        assert planned.returncode == 0 and planned.stdout, target


def test_configurations_of_the_documents_are_sound(here):
    assert yaml.safe_load((here.folder / "gowt1.yaml").read_text())["datasets"]["gowt1"]["layout"] == "ctc"
