"""From YAML to a checked configuration: defaults, inheritance, and all problems at once. Free of torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cellcascade.config.datasets import Config
from cellcascade.config.settings import Multiview, Settings, Stages
from cellcascade.core.errors import InputError


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested dictionaries; values of `top` win, blocks are merged key by key."""
    merged = dict(base)
    for key, value in top.items():
        both_blocks = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both_blocks else value
    return merged


def load_config(raw: Mapping[str, Any], where: str = "config.yaml") -> Config:
    """Check a raw configuration and complete every data set.

    Args:
        raw: The merged configuration as Snakemake read it.
        where: Name of the file(s), for messages.

    Raises:
        InputError: With every problem at once, each with its dotted path.
    """
    problems: list[str] = []
    datasets = raw.get("datasets")
    defaults = _complete(Stages(), raw.get("defaults"))
    entries = datasets
    if isinstance(datasets, Mapping):
        found = {name: _inherit(name, datasets, problems) for name, entry in datasets.items() if entry is not None}
        base = defaults if isinstance(defaults, Mapping) else {}
        entries = {name: overlay(base, entry) for name, entry in found.items() if entry is not None}
    multiview = _complete(Multiview(), raw.get("multiview"))
    try:
        config = Config.model_validate({**raw, "defaults": defaults, "multiview": multiview, "datasets": entries})
    except ValidationError as error:
        follow_on = ((), ("datasets",)) if problems else ()
        problems += [_describe(item, datasets) for item in error.errors() if item["loc"] not in follow_on]
    if problems:
        problems = list(dict.fromkeys(problems))
        raise InputError(
            f"The configuration has {len(problems)} problem{'s' * (len(problems) > 1)}",
            where=where,
            found="\n      - " + "\n      - ".join(problems),
            expected="the keys, types and ranges of workflow/schemas/config.schema.json",
            fix="edit the keys above; docs/configuration.md explains each",
        )
    return config


def _complete(block: Settings, given: Any) -> Any:
    """A block with the keys that were given laid over its defaults, at any depth."""
    return overlay(block.model_dump(), given or {}) if isinstance(given, Mapping | None) else given


def _inherit(
    name: str, datasets: Mapping[str, Any], problems: list[str], seen: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """A data set's entry laid over those it inherits from; `None`, and a problem, where that cannot be."""
    entry = datasets.get(name) if isinstance(name, str) else None
    if name in seen or (seen and entry is None):
        what = "the data sets inherit from each other in a circle" if name in seen else "there is no such data set"
        problems.append(f"datasets.{seen[-1]}.inherits: {what} (found {name!r}, of {sorted(datasets)})")
        return None
    if not isinstance(entry, Mapping):
        problems.append(f"datasets.{name}: must be a block of keys such as folder and voxel_size_um (found {entry!r})")
        return None
    if entry.get("inherits") is None:
        return dict(entry)
    parent = _inherit(entry["inherits"], datasets, problems, (*seen, name))
    return None if parent is None else overlay(parent, entry)


def _describe(item: Mapping[str, Any], datasets: Any) -> str:
    """One validation error as a line that names the block in which the value stands."""
    parts = [str(part) for part in item["loc"]]
    if parts[:1] == ["datasets"] and len(parts) > 2 and item["type"] != "missing":
        parts = [*_origin(parts[1], parts[2:], datasets), *parts[2:]]
    message = {
        "extra_forbidden": "unknown key",
        "missing": "required key is missing",
        "string_type": "must be text; put it in quotes",
    }.get(item["type"], item["msg"])
    message = message.removeprefix("Value error, ")
    found = "" if item["type"] in ("missing", "value_error") else f" (found {item['input']!r})"
    return f"{'.'.join(parts) or 'top level'}: {message}{found}"


def _origin(name: str, path: list[str], datasets: Mapping[str, Any]) -> list[str]:
    """Where a data set has a key from: its own entry, one it inherits from, or `defaults`."""
    while name in datasets:
        value = datasets[name]
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else value
        if value is not None:
            return ["datasets", name]
        name = datasets[name].get("inherits")
    return ["defaults"]


def read_config(*paths: str | Path) -> Config:
    """Read YAML files, later ones laid over earlier ones, and check the result."""
    import yaml

    raw: dict[str, Any] = {}
    for path in paths:
        raw = overlay(raw, yaml.safe_load(Path(path).read_text()) or {})
    return load_config(raw, ", ".join(str(path) for path in paths))
