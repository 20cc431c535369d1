"""docs/troubleshooting.md: as the code has it, a row for each finding and error, and a test for each finding."""

import re
from pathlib import Path

import pytest

import cellcascade
from cellcascade.checks.document import document, errors_in
from cellcascade.checks.finding import KINDS
from cellcascade.cli import main

REPOSITORY = Path(__file__).parents[3]
FOLDER = Path(__file__).parent


def test_the_document_is_that_of_the_code(capsys):
    assert main(["troubleshooting"]) == 0
    assert capsys.readouterr().out == document() == (REPOSITORY / "docs/troubleshooting.md").read_text()


@pytest.mark.parametrize("code", KINDS)
def test_each_finding_has_a_section_and_a_test_that_provokes_it(code):
    assert f"### `{code}`: {KINDS[code].title}" in document()
    texts = "".join(path.read_text() for path in FOLDER.glob("test_*.py") if path.name != Path(__file__).name)
    assert f'"{code}"' in texts, f"no test mentions {code}"


def test_each_error_of_the_package_has_a_row():
    text = document()
    package = Path(cellcascade.__file__).parent
    found = [error for path in package.rglob("*.py") for error in errors_in(path)]
    assert len(found) > 80
    raised = sum(len(re.findall(r"\bInputError\(\n", path.read_text())) for path in package.rglob("*.py"))
    assert len(found) > 0.9 * raised
    for what, fix in found:
        assert " ".join(what.replace("|", "\\|").split()) in text and fix.strip(), what


def test_what_is_filled_in_is_marked(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('raise InputError(f"{n} files", where=1, found=2, expected=3, fix="move " + name if n else "")')
    assert list(errors_in(path)) == [("… files", "move …")]
