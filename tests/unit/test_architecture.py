"""The house: imports go down, never up or in a circle; torch stays in its rooms; functions and files stay short."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import cellcascade

PACKAGE = Path(cellcascade.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# From the ground up: a room imports from its own floor and from those below it.
FLOORS = (
    {"core", "config", "data"},
    {"learning", "geometry", "population"},
    {"reconstruction", "metrics", "diffusion"},
    {"evaluation", "exports", "report", "checks", "intake", "cli", "__main__"},
)
# The workflow is read again by every job of a cluster, so what it imports must not load torch. Geometry is among these
# rooms because rays are cast on the GPU; its masks, planes and slices do without.
# The data set of PyTorch among the exports is for loops of one's own: no other module imports it.
TORCH = ("learning", "geometry", "diffusion", "reconstruction", "evaluation/cellpose", "metrics/inception.py")
TORCH += ("exports/torch_dataset.py",)
WITHOUT_TORCH = ("geometry/masks.py", "geometry/planes.py", "geometry/slicing.py")
WITHOUT_TORCH += ("diffusion/multiview_weights.py", "diffusion/lenders.py")


def imported(path: Path, *, when_it_starts: bool = False) -> Iterator[str]:
    """What a file imports, as dotted names; `when_it_starts` leaves out imports within functions and for types."""
    tree = ast.parse(path.read_text())
    late = {node for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.If) for node in ast.walk(each)}
    for node in ast.walk(tree):
        if when_it_starts and node in late:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if name in rooms)


def arrows() -> dict[str, set[str]]:
    """The rooms that each room imports from."""
    rooms, found = set().union(*FLOORS), defaultdict(set)
    for path in FILES:
        parts = [name.split(".") for name in imported(path)]
        found[room(path)] |= {part[1] for part in parts if part[0] == "cellcascade" and part[1] in rooms}
    return {name: targets - {name} for name, targets in found.items()}


def test_there_are_few_rooms_and_each_has_a_floor():
    rooms = {room(path) for path in FILES} - {"__init__", "__main__"}
    assert len(rooms) <= 15 and rooms <= set().union(*FLOORS)


def test_imports_go_down_or_stay_on_their_floor():
    known = {name: targets for name, targets in arrows().items() if name != "__init__"}
    assert not [(a, b) for a, targets in known.items() for b in targets if floor(b) > floor(a)]


def test_no_imports_go_in_a_circle():
    left = arrows()
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        left = {name: targets for name, targets in left.items() if name not in free}
    assert not left


def test_only_some_rooms_import_torch():
    for path in FILES:
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(TORCH) or place in WITHOUT_TORCH:
            assert "torch" not in {name.split(".")[0] for name in imported(path, when_it_starts=True)}, place


def test_doors_of_the_rooms_import_nothing():
    """A room's `__init__` holds its description alone, but for the registry of reconstruction methods."""
    for path in PACKAGE.rglob("*/__init__.py"):
        assert path.parent.name == "reconstruction" or not list(imported(path)), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_and_files_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name


def test_rules_tests_and_benchmarks_are_short():
    repository = Path(__file__).parents[2]
    folders = {"workflow/rules": "*.smk", "tests": "*.py", "benchmarks": "*.py", "scripts": "*.py"}
    found = [path for folder, pattern in folders.items() for path in (repository / folder).rglob(pattern)]
    assert len(found) > 100
    assert not [str(path.relative_to(repository)) for path in found if path.read_text().count("\n") > 400]


def test_unit_tests_mirror_the_rooms():
    folder = Path(__file__).parent
    for path in folder.rglob("test_*.py"):
        assert path.parent == folder or (PACKAGE / path.parent.relative_to(folder)).is_dir(), path
