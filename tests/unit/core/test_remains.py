"""What a killed run leaves: marks of Snakemake, checkpoints, temporary files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from snakemake.persistence.file import FilePersistence

from cellcascade.config.settings import Training
from cellcascade.core.files import atomic_path
from cellcascade.core.remains import checkpoints, result_of, step_of, temporary, unfinished
from cellcascade.learning.objective import Objective
from cellcascade.learning.training import train

RULES = Path(__file__).parents[3] / "workflow/rules"
PLACE = "checkpoints/toy/mask_ddpm-0123456789ab/state.pt"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with a checkpoint of a real training, of 6 steps."""
    folder = tmp_path_factory.mktemp("project")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    train(
        model,
        Objective(
            lambda generator: (torch.randn(4, 2, generator=generator),), lambda batch: model(*batch).square().mean()
        ),
        Training(steps=6, batch_size=4, learning_rate=0.1, warmup=0.1, ema_decay=0.5, checkpoint_every=2),
        checkpoint=folder / PLACE,
        seed=0,
        device=torch.device("cpu"),
        what="test",
    )
    return folder


def test_the_step_of_a_checkpoint_is_read_without_torch(project):
    code = (
        "import sys; from cellcascade.core.remains import step_of; print(step_of(sys.argv[1]), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, project / PLACE], capture_output=True, text=True)
    assert done.stdout.split() == ["6", "False"], done.stderr


def test_files_that_are_no_checkpoint_have_no_step(project, tmp_path):
    whole = (project / PLACE).read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole.replace(b"rows", b"sows")):
        (tmp_path / "state.pt").write_bytes(content)
        assert step_of(tmp_path / "state.pt") is None
    assert step_of(tmp_path / "missing.pt") is None


def test_nothing_of_a_checkpoint_is_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    torch.save({"rows": [{"step": 3, "bad": Harmful()}]}, tmp_path / "state.pt")
    assert step_of(tmp_path / "state.pt") == 3 and not (tmp_path / "harm").exists()


def test_trainings_that_have_not_ended_are_listed_with_their_latest_checkpoint(project, tmp_path):
    older = tmp_path / PLACE.replace("0123456789ab", "ffffffffffff")
    for path in (older, tmp_path / PLACE):
        path.parent.mkdir(parents=True)
        path.write_bytes((project / PLACE).read_bytes())
    assert [(found.path, found.step) for found in checkpoints(tmp_path)] == [(tmp_path / PLACE, 6)]
    record = tmp_path / "results/toy/models/mask_ddpm/config.json"
    record.parent.mkdir(parents=True)
    record.touch()
    assert not checkpoints(tmp_path)
    marks = FilePersistence(path=tmp_path / ".snakemake")
    marks._mark_incomplete("results/toy/models/mask_ddpm/model.safetensors", None)
    assert [found.path for found in checkpoints(tmp_path)] == [tmp_path / PLACE]


def test_results_of_trainings_lie_where_their_rules_put_them():
    trainings = 0
    for path in RULES.glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE):
            found = re.search(r'checkpoints="checkpoints/([^/"]+)/([^/"]+)"', rule)
            if found and rule.startswith(("train_", "hardness:")):
                assert f'"{result_of(*found.groups())}"' in rule, found[0]
                trainings += 1
    assert trainings == 7


def test_networks_that_judge_cells_have_ended_when_all_cells_are_judged(project, tmp_path):
    for number in (0, 1):
        path = tmp_path / f"checkpoints/toy/hardness-{number}-0123456789ab/state.pt"
        path.parent.mkdir(parents=True)
        path.write_bytes((project / PLACE).read_bytes())
        os.utime(path, (number, number))
        assert [found.path for found in checkpoints(tmp_path)] == [path]  # the one at work
    table = tmp_path / "results/toy/hardness.csv"
    table.parent.mkdir(parents=True)
    table.touch()
    FilePersistence(path=tmp_path / ".snakemake")._mark_incomplete("results/toy/crops.csv", None)
    assert not checkpoints(tmp_path)


def test_marks_of_snakemake_are_read(tmp_path):
    marks, names = FilePersistence(path=tmp_path / ".snakemake"), ["results/b", "results/a", "results/" + "long" * 100]
    for name in names:
        marks._mark_incomplete(name, None)
    assert unfinished(tmp_path) == sorted(map(Path, names))
    for name in names:
        marks._unmark_incomplete(name)
    assert not unfinished(tmp_path) and not unfinished(tmp_path / "nowhere")


def test_temporary_files_are_those_of_writes_that_were_cut_off(tmp_path):
    results = tmp_path / "results/toy"
    with pytest.raises(SystemExit), atomic_path(results / "masks/shard-000.zarr.zip") as scratch:
        scratch.touch()
        found = temporary(tmp_path)
        raise SystemExit
    assert found == [scratch.parent] and not temporary(tmp_path)
    for name in ("img-00000.ome.zarr/.zattrs.abcdefgh", ".hidden", ".git.d"):
        (results / name).mkdir(parents=True)
    (results / ".table.csv.abcdefgh").touch()
    assert not temporary(tmp_path)
