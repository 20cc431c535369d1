"""From YAML to a checked configuration: defaults, inheritance, and all problems at once. Free of torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from cellcascade.config.datasets import Config, Dataset
from cellcascade.config.prior import Prior
from cellcascade.config.settings import Multiview, Stages
from cellcascade.config.values import EACH_BY_ITSELF, Conflict, Settings
from cellcascade.core.errors import InputError

Block = TypeVar("Block", bound=Settings)
MESSAGES = {  # in place of pydantic's
    "extra_forbidden": "unknown key",
    "missing": "is required, and missing",
    "string_type": "must be text; put it in quotes",
    "model_type": "must be a block of keys",
    "dict_type": "must be a block of keys",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
}
SHOULD = "Input should be "  # how messages of pydantic begin
ONE_OF_ITS_KEYS = "[key]"  # pydantic's mark of an error in a dictionary's key


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested dictionaries; values of `top` win, blocks are merged key by key."""
    merged = dict(base)
    for key, value in top.items():
        both_blocks = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both_blocks else value
    return merged


def own_data_sets(raw: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the data sets of the shipped file, if what was given on top of it has its own.

    Those that the given data sets inherit from or take models from stay, and so do those that `run` or `prior.data`
    names. Without a data set of one's own, or with the shipped file among the given ones, nothing changes.

    Args:
        raw: The merged configuration.
        given: What was given on top of the shipped file: the merged files of `--configfile`, and `--config`.
    """
    every, own = raw.get("datasets"), given.get("datasets")
    if not (isinstance(every, Mapping) and isinstance(own, Mapping)):
        return dict(raw)
    if not any(isinstance(entry, Mapping) and "folder" in entry for entry in own.values()):
        return dict(raw)
    prior = raw.get("prior")
    named = [raw.get("run"), prior.get("data") if isinstance(prior, Mapping) else None]
    todo = [*own, *(name for names in named if isinstance(names, list) for name in names)]
    kept: set[Any] = set()
    while todo:
        name = todo.pop()
        entry = every.get(name) if isinstance(name, str) else None
        if name not in kept and isinstance(entry, Mapping):
            todo += [entry.get("inherits"), entry.get("models_from")]
        kept.add(name)
    return {**raw, "datasets": {name: entry for name, entry in every.items() if name in kept}}


def read_config(*paths: str | Path) -> Config:
    """Read YAML files, of which later ones override earlier ones, and check the result.

    Raises:
        InputError: A file is missing or no YAML, or the configuration has problems.
    """
    raw: dict[str, Any] = {}
    for path in paths:
        raw = overlay(raw, _read_yaml(Path(path)))
    return load_config(raw, ", ".join(str(path) for path in paths))


def load_config(raw: Mapping[str, Any], where: str = "config.yaml") -> Config:
    """Check a raw configuration and complete every data set; opens no file.

    A data set's settings are `defaults`, overridden by the entry that it inherits from, if any, overridden by its own.

    Args:
        raw: The merged configuration as Snakemake read it.
        where: Name of the file(s), for messages.

    Raises:
        InputError: With every problem at once, each with its dotted path.
    """
    defaults = _complete(Stages(), raw.get("defaults"))
    others = {name: _complete(block(), raw.get(name)) for name, block in (("multiview", Multiview), ("prior", Prior))}
    datasets, problems = raw.get("datasets"), list[str]()
    entries = datasets
    if isinstance(datasets, Mapping):
        entries = _entries(datasets, defaults if isinstance(defaults, Mapping) else {}, problems)
    complete = {**raw, "defaults": defaults, **others, "datasets": entries}
    config, errors = _validated(Config, complete)
    problems += _lines([item for item in errors if not (problems and item["loc"] == ("datasets",))], complete, datasets)
    conflicts: Iterable[Conflict] = ()
    if config is not None and not problems:
        conflicts = config.all_conflicts()
    elif isinstance(entries, Mapping):  # of the data sets that are sound in themselves; the whole cannot be looked at
        conflicts = _conflicts_of_each(entries)
    problems += [f"{_place(conflict.keys, datasets)}: {conflict.message}" for conflict in conflicts]
    if config is None or problems:
        raise _all_at_once(list(dict.fromkeys(problems)), where)
    return config


def _read_yaml(path: Path) -> Mapping[str, Any]:
    """The keys of a YAML file."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses keys that are there twice: of two data sets of one name, the first would be gone without a word."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        read = yaml.load(read_text(path), Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the last two: no such date, a block within itself
        raise _unreadable(path, " ".join(str(error).split())) from error
    if not isinstance(read, Mapping | None):
        raise _unreadable(path, f"{type(read).__name__} {read!r}"[:100])
    return read or {}


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        InputError: There is no such file, or it is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "no text (UTF-8)") from error


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        "The configuration cannot be read",
        where=path,
        found=found,
        expected="a YAML file with keys such as datasets and defaults, as in config.yaml",
        fix="correct the name of the file, or what is wrong in it",
    )


def _complete(block: Settings, given: Any) -> Any:
    """A block's defaults, overridden at any depth by the keys that were given."""
    return overlay(block.model_dump(), given or {}) if isinstance(given, Mapping | None) else given


def _entries(datasets: Mapping[Any, Any], defaults: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """All entries, each completed by the one it inherits from and by `defaults`; without those that have problems."""
    found: dict[str, Any] = {}
    for name, entry in datasets.items():
        if not isinstance(name, str):
            problems.append(f"datasets.{name}: a data set's name must be text; put it in quotes")
        elif entry is not None:  # null drops a data set of an earlier file
            own = _inherit(name, datasets, problems)
            found |= {} if own is None else {name: overlay(defaults, own)}
    return found


def _inherit(
    name: Any, datasets: Mapping[Any, Any], problems: list[str], heirs: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """An entry, completed by those it inherits from; `None`, and a problem, where that cannot be."""
    entry = datasets.get(name) if isinstance(name, str) else None
    if name in heirs or (heirs and entry is None):
        what = "the data sets inherit from each other in a circle" if name in heirs else "there is no such data set"
        problems.append(f"datasets.{heirs[-1]}.inherits: {what} (found {name!r}, of {sorted(map(str, datasets))})")
        return None
    if not isinstance(entry, Mapping):
        problems.append(f"datasets.{name}: must be a block of keys such as folder and voxel_size_um (found {entry!r})")
        return None
    if entry.get("inherits") is None:
        return dict(entry)
    parent = _inherit(entry["inherits"], datasets, problems, (*heirs, name))
    return None if parent is None else overlay(parent, entry)


def _validated(kind: type[Block], raw: Any) -> tuple[Block | None, list[Mapping[str, Any]]]:
    """A block whose values are sound each by itself, or the errors."""
    try:
        return kind.model_validate(raw, context=EACH_BY_ITSELF), []
    except ValidationError as error:
        return None, [*error.errors(include_url=False)]


def _conflicts_of_each(entries: Mapping[str, Any]) -> Iterator[Conflict]:
    for name, entry in entries.items():
        dataset, _ = _validated(Dataset, entry)
        if dataset is not None:
            yield from (conflict.below(f"datasets.{name}") for conflict in dataset.all_conflicts())


def _place(keys: Sequence[str], datasets: Any) -> str:
    """The place where one of the values in conflict was given: the entry that is nearest to the data set."""
    paths = [key.split(".") for key in keys]
    if paths[0][0] == "datasets" and len(paths[0]) > 2:
        return ".".join(_origin(paths[0][1], [path[2:] for path in paths], datasets))
    return keys[0]


def _lines(errors: Sequence[Mapping[str, Any]], complete: Mapping[str, Any], datasets: Any) -> list[str]:
    """Validation errors as lines that name the places where the values were given.

    A value that may be one thing or another has an error for each: one line tells them all.
    """
    told: dict[tuple[str, str], list[str]] = {}
    for item in errors:
        place, message, found = _told(item, complete, datasets)
        messages = told.setdefault((place, found), [])
        messages += [] if message in messages else [message]
    return [
        f"{place}: {', or '.join([first, *(each.removeprefix(SHOULD) for each in others)])}{found}"
        for (place, found), (first, *others) in told.items()
    ]


def _told(item: Mapping[str, Any], complete: Mapping[str, Any], datasets: Any) -> tuple[str, str, str]:
    """Place, message and found value of one validation error."""
    path = _path(item["loc"], complete)
    if path[-1:] == [ONE_OF_ITS_KEYS]:
        return ".".join(path[:-1]), "a data set's name may hold letters, digits, - and _, and begins with neither", ""
    if path[:1] == ["datasets"] and len(path) > 2 and item["type"] != "missing":
        path = _origin(path[1], [path[2:]], datasets)
    message = MESSAGES.get(item["type"], item["msg"]).removeprefix("Value error, ")
    found = "" if item["type"] in ("missing", "value_error") else f" (found {item['input']!r})"
    return ".".join(path) or "top level", message, found


def _path(location: tuple[str | int, ...], value: Any) -> list[str]:
    """The keys of an error's location, without pydantic's names of the types that a value might have had."""
    path = []
    for part in location:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        else:
            continue
        path.append(str(part))
    return path


def _origin(name: str, paths: list[list[str]], datasets: Mapping[str, Any]) -> list[str]:
    """Where a data set has a key from, or the first of several: its own entry, one it inherits from, or `defaults`."""
    while name in datasets:
        for path in paths:
            value: Any = datasets[name]
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else value
            if value is not None:
                return ["datasets", name, *path]
        name = datasets[name].get("inherits")
    return ["defaults", *paths[0]]


def _all_at_once(problems: list[str], where: str) -> InputError:
    return InputError(
        f"The configuration has {len(problems)} problem{'s' * (len(problems) > 1)}",
        where=where,
        found="\n      - " + "\n      - ".join(problems),
        expected="the keys, types and ranges of workflow/schemas/config.schema.json",
        fix="edit the keys above; docs/configuration.md explains each",
    )
