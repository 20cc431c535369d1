"""The configuration described for people and editors, from the typed models alone. Free of torch."""

import json
import re
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pydantic.fields import FieldInfo

from cellcascade.config.datasets import Config, Dataset
from cellcascade.config.settings import Stages
from cellcascade.config.values import Settings, rising
from cellcascade.core.errors import InputError

Leaf = tuple[str, FieldInfo, Any]

INTRODUCTION = """\
# Configuration

`config.yaml` holds everything that is set. Files given with `--configfile` override it key by key, the later ones the
earlier ones, and `--config KEY=VALUE` overrides them all. Unknown keys, wrong values and values that do not fit
together are errors; all of them are reported at once.

`defaults` holds the settings of every data set. A data set's own entry overrides them; an entry with `inherits: NAME`
overrides that data set's entry. If a file on top of `config.yaml` has data sets of its own (with a `folder`), those of
`config.yaml` that it does not name are left out. This file is made by `python -m cellcascade reference`.
"""

GENERATED = ("defaults", "shapes", "multiview", "shards")  # blocks of config.yaml
FIRST_LINE = "# --- Defaults, as `python -m cellcascade defaults` writes them. Edit them as you like; it resets them."
LAST_LINE = "# --- End of the defaults."
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
COMMENTS = 37  # column of the comments in config.yaml


def config_schema() -> dict[str, Any]:
    """JSON schema of a configuration as users write it: with `inherits`, before data sets are completed."""
    schema = Config.model_json_schema()
    entry = schema["$defs"]["Dataset"]
    entry["anyOf"] = [{"required": entry.pop("required")}, {"required": ["inherits"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cellcascade config.yaml", **schema}


def leaves(model: type[Settings], values: Settings | None = None, prefix: str = "") -> Iterator[Leaf]:
    """Walk the keys of a block and of the blocks below it.

    Args:
        model: The block's class.
        values: The block's defaults where they differ from its class'.
        prefix: Dotted path of the block, with its last dot.

    Yields:
        Dotted path, field and default of each key that is no block.
    """
    for name, field in model.model_fields.items():
        default = field.default if values is None else getattr(values, name)
        if block := _block(field):
            yield from leaves(block, default, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, default


def allowed(field: FieldInfo) -> str:
    """The range of a key in words, e.g. `> 0`, `0 to 1`, `sdf or binary`; empty where every value goes."""
    return _allowed(field.annotation, field.metadata)


def _allowed(kind: Any, limits: list) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _allowed(inner[0], [limit for item in inner[1:] for limit in getattr(item, "metadata", [item])])
    if origin is typing.Literal:
        return " or ".join(map(str, inner))
    if origin in (types.UnionType, typing.Union):
        parts = [
            "true or false" if part is bool else _allowed(part, limits) for part in inner if part is not type(None)
        ]
        return " or ".join([*filter(None, parts), *(["null"] if type(None) in inner else [])])
    if origin is tuple:
        each = _allowed(inner[0], [])
        if any(getattr(limit, "func", None) is rising for limit in limits):
            return f"[low, high], each {each}"
        count = "list" if inner[-1] is Ellipsis else f"{len(inner)} values"
        return f"{count}, each {each}" if each else count
    if kind is str or origin is list:
        return "text" if kind is str else "list"
    return _bounds(limits)


def _bounds(limits: list) -> str:
    """The range of a number in words."""

    def of(name: str) -> Any:
        return next((getattr(limit, name) for limit in limits if getattr(limit, name, None) is not None), None)

    step, low, high = of("multiple_of"), of("ge"), of("le")
    if low is not None and high is not None:
        return f"{low} to {high}"
    parts = [f"{sign} {of(name)}" for name, sign in SIGNS.items() if of(name) is not None and of(name) != step]
    return " and ".join([*([f"multiple of {step}"] if step else []), *parts])


def describe(field: FieldInfo) -> str:
    """A key's meaning with its range, the comment that config.yaml carries; choices that it explains stand once."""
    limits, text = allowed(field), str(field.description)
    explained = typing.get_origin(field.annotation) is typing.Literal and all(c in text for c in limits.split(" or "))
    return text if explained or not limits else f"{text} ({limits})"


def with_defaults(text: str, where: object = "config.yaml") -> str:
    """A config.yaml in which the part between the two marking lines is made anew, and nothing else changes.

    Args:
        text: The file's text.
        where: The file's name, for messages.

    Raises:
        InputError: The marking lines are not there.
    """
    before, first, rest = text.partition(f"{FIRST_LINE}\n")
    _, last, after = rest.partition(f"{LAST_LINE}\n")
    if not (first and last):
        raise InputError(
            "The defaults cannot be written",
            where=where,
            found="no such part" if not first else "no end of it",
            expected=f"a part between the lines {FIRST_LINE!r} and {LAST_LINE!r}",
            fix="add the two lines around the blocks " + ", ".join(GENERATED),
        )
    blocks = [Config.model_fields[name] for name in GENERATED]
    parts = [f"\n# {_about(field)}\n{name}:\n{_yaml(field)}\n" for name, field in zip(GENERATED, blocks)]
    return "".join([before, first, *parts, "\n", last, after])


def _yaml(block: FieldInfo, values: Settings | None = None, depth: int = 1) -> str:
    """The lines of a block in config.yaml: keys, defaults and comments."""
    values, indent, lines = values or block.default, "  " * depth, []
    for name, field in type(values).model_fields.items():
        default = getattr(values, name)
        if _block(field):
            apart = depth == 1 and block.annotation is Stages
            lines += [*([""] if apart else []), f"{indent}{name}:  # {_about(field)}", _yaml(field, default, depth + 1)]
        else:
            lines.append(f"{indent}{name}: {_plain(default)}".ljust(COMMENTS - 2) + f"  # {describe(field)}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """A default as people write it in YAML."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z][\w+./-]*", value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return json.dumps(value)


def reference() -> str:
    """The text of docs/configuration.md."""
    own = [name for name in Dataset.model_fields if name not in Stages.model_fields]
    parts = [INTRODUCTION, _table("Top level", "", Config), *_blocks(Config, "", skip="defaults")]
    parts.append(_table("`datasets.NAME`", "Besides these, every key of `defaults`.", Dataset, names=own))
    parts += [_table("`defaults`", _about(Config.model_fields["defaults"]), Stages), *_blocks(Stages, "defaults.")]
    return "\n".join(parts)


def _blocks(model: type[Settings], prefix: str, skip: str = "") -> list[str]:
    """A table for each block of a block."""
    return [
        _table(f"`{prefix}{name}`", _about(field), block, field.default)
        for name, field in model.model_fields.items()
        if (block := _block(field)) and name != skip
    ]


def _block(field: FieldInfo) -> type[Settings] | None:
    """The class of a block; `None` for a key that is no block."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def _about(block: FieldInfo) -> str:
    """What a block is: its own description, or the first line of its class'."""
    return block.description or (block.annotation.__doc__ or "").splitlines()[0]


def _table(
    title: str, about: str, model: type[Settings], values: Settings | None = None, names: list[str] | None = None
) -> str:
    """The keys of a block; of a whole configuration or data set, those that are no blocks."""
    lines = [f"## {title}", "", *([about, ""] if about else [])]
    lines += ["| key | default | range | meaning |", "|---|---|---|---|"]
    for path, field, default in leaves(model, values):
        if path == "datasets" or (values is None and path not in (names or model.model_fields)):
            continue
        shown = "required" if field.is_required() else f"`{json.dumps(default, ensure_ascii=False)}`"
        cells = (f"`{path}`", shown, allowed(field), str(field.description))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
