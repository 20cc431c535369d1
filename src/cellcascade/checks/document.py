"""docs/troubleshooting.md, from the kinds of findings and from the errors that the package raises."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from cellcascade.checks.finding import KINDS, Level

HEAD = """# Troubleshooting

Made by `cellcascade troubleshooting` from the findings and errors in the code; do not edit it.

`cellcascade check config.yaml` looks at the data, the weights and the machine in seconds, before anything runs, and
writes a page with pictures for each data set. The same look at the data is the first job of every data set of a run:
an error stops it before any training, warnings go to its log (`logs/NAME/check.log`) and to the report. An error that
is known and as it should be passes with `accept: [its_name]` in the data set's entry.
"""
ERRORS = """
## Messages

Each message has five parts: what is wrong, where, what was found, what was expected, how to fix it. "…" stands for what
differs from case to case. Every message that begins like one of these means the same, wherever it appears.
"""
OF_SNAKEMAKE = {  # what Snakemake says before it has read a line of ours, or of its own state
    "FileNotFoundError: … No such file or directory: 'mine.yaml'": "a file after `--configfile` is not there: correct "
    "its name",
    "Config file is not valid JSON or YAML": "`cellcascade check mine.yaml` says in which line",
    "LockException": "another run is at work in this folder, or one was killed: `cellcascade recover` says which",
    "MissingRuleException: No rule to produce results/mine/synthetic": "the file that names the data set `mine` was "
    "not given: add `--configfile mine.yaml`; or the target is misspelled. Put targets first, as options that take "
    "several values swallow what comes after them",
}
LEVELS = {Level.ERROR: "Errors of the check", Level.WARNING: "Warnings of the check", Level.NOTE: "Notes of the check"}
GAP = "…"


def document() -> str:
    """The whole document."""
    of_snakemake = _table("\n## What Snakemake itself says\n", OF_SNAKEMAKE.items())
    parts = [HEAD, *(_findings(level) for level in LEVELS), of_snakemake, ERRORS, *_messages()]
    return "".join(parts)


def _findings(level: Level) -> str:
    rows = [
        f"### `{code}`: {kind.title}\n\n{kind.meaning}\n\n**Cure:** {kind.cure}.\n"
        for code, kind in KINDS.items()
        if kind.level == level
    ]
    return "\n".join([f"\n## {LEVELS[level]}\n", *rows])


def _messages() -> Iterator[str]:
    """A table for each room: what its errors say, and how to fix them."""
    package = Path(__file__).parents[1]
    rooms: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(package.rglob("*.py")):
        rooms.setdefault(path.relative_to(package).parts[0].removesuffix(".py"), []).extend(errors_in(path))
    for room, rows in rooms.items():
        if rows:
            yield _table(f"\n### From `{room}`\n", rows)


def errors_in(path: Path) -> Iterator[tuple[str, str]]:
    """What the errors that a file of the package raises say, and how they are fixed.

    Args:
        path: A Python file.

    Returns:
        Pairs of texts; what is filled in when an error is raised is `…`.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InputError":
            fix = next((keyword.value for keyword in node.keywords if keyword.arg == "fix"), None)
            if node.args and fix is not None and (what := text_of(node.args[0])).strip(GAP):
                yield what, text_of(fix)


def text_of(node: ast.expr) -> str:
    """The text of an expression, with `…` for what is not known before it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
        case ast.IfExp(body=body, orelse=other):
            return f"{text_of(body)} (or: {text_of(other)})" if text_of(other) else text_of(body)
    return GAP


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {_cell(what)} | {_cell(fix)} |" for what, fix in rows]
    return "\n".join([title, "| message | how to fix it |", "|---|---|", *dict.fromkeys(lines), ""])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
