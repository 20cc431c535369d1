"""The configuration described for people and editors, from the typed models alone. Free of torch."""

import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from cellcascade.config.datasets import Config, Dataset
from cellcascade.config.settings import Settings, Stages

Leaf = tuple[str, FieldInfo, Any]

INTRODUCTION = """\
# Configuration

`config.yaml` holds everything that is set; files given with `--configfile` are laid over it, key by key, the later over
the earlier, and `--config KEY=VALUE` over them. Unknown keys and wrong values are errors, all told at once.

`defaults` holds the settings of every data set. A data set's own entry is laid over `defaults`; an entry with
`inherits: NAME` is laid over that data set's entry first. This file is made by `python -m cellcascade reference`.
"""


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
        if _is_block(field):
            yield from leaves(field.annotation, default, f"{prefix}{name}.")
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
        parts = [_allowed(part, limits) for part in inner if part is not type(None)]
        return " or ".join([*filter(None, parts), "null"])
    if origin is tuple:
        each = _allowed(inner[0], [])
        count = "list" if inner[-1] is Ellipsis else f"{len(inner)} values"
        return f"{count}, each {each}" if each else count
    if kind is str or origin is list:
        return "text" if kind is str else "list"
    low = next((f"{sign} {value}" for limit in limits for sign, value in _bounds(limit, "ge", "gt")), "")
    high = next((f"{sign} {value}" for limit in limits for sign, value in _bounds(limit, "le", "lt")), "")
    if low.startswith(">=") and high.startswith("<="):
        return f"{low[3:]} to {high[3:]}"
    return " and ".join(filter(None, (low, high)))


def _bounds(limit: Any, *names: str) -> list[tuple[str, Any]]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return [(signs[name], getattr(limit, name)) for name in names if getattr(limit, name, None) is not None]


def describe(field: FieldInfo) -> str:
    """A key's meaning with its range, the comment that config.yaml carries; choices that it explains stand once."""
    limits, text = allowed(field), str(field.description)
    explained = typing.get_origin(field.annotation) is typing.Literal and all(c in text for c in limits.split(" or "))
    return text if explained or not limits else f"{text} ({limits})"


def reference() -> str:
    """The text of docs/configuration.md."""
    own = [name for name in Dataset.model_fields if name not in Stages.model_fields]
    parts = [INTRODUCTION, _table("Top level", "", Config), *_blocks(Config, "", skip="defaults")]
    parts.append(_table("`datasets.NAME`", "Besides these, every key of `defaults`.", Dataset, names=own))
    parts += [_table("`defaults`", _first_line(Stages), Stages), *_blocks(Stages, "defaults.")]
    return "\n".join(parts)


def _blocks(model: type[Settings], prefix: str, skip: str = "") -> list[str]:
    """A table for each block of a block."""
    fields = [(name, field) for name, field in model.model_fields.items() if _is_block(field) and name != skip]
    return [
        _table(f"`{prefix}{name}`", _first_line(field.annotation), field.annotation, field.default)
        for name, field in fields
    ]


def _is_block(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Settings)


def _first_line(model: type[Settings]) -> str:
    return (model.__doc__ or "").splitlines()[0]


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
