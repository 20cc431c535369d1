"""The workflow is run as a command of its own; a small one stands for it here."""

from cellcascade.core.machine import Machine
from cellcascade.intake.running import export_of, images_of, page_of, run_workflow

SNAKEFILE = """
rule every:
    output:
        directory("results/mine/synthetic"),
        "results/mine/report/index.html",
        directory("results/mine/export/ctc"),
    resources:
        gpu=1
    shell:
        "mkdir -p {output[0]} {output[2]} && env > {output[1]}"
"""


def test_jobs_keep_their_bytecode_and_make_all_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    machine = Machine(cores=1, memory=1, free=1)
    assert run_workflow(tmp_path, tmp_path / "mine.yaml", "mine", machine, ["ctc"]) == 0
    made = [tmp_path / path for path in (images_of("mine"), page_of("mine"), export_of("mine", "ctc"))]
    assert all(path.exists() for path in made)
    assert "PYTHONDONTWRITEBYTECODE" not in made[1].read_text() and "PATH=" in made[1].read_text()
    assert run_workflow(tmp_path, tmp_path / "mine.yaml", "other", machine) != 0
