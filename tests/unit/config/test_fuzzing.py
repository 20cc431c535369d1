"""Configurations that are wrong at random: always a configuration or a message, never another exception."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from cellcascade.config.load import load_config, read_config
from cellcascade.core.errors import InputError

ODD = (None, -1, 0, 1.5, "x", "", [], {}, [1, 2, 3, 4], {"a": {"b": 1}}, True, math.nan, math.inf, 10**30, "1e-3", [[]])


def places(value, path=()):
    """All paths in nested blocks and lists."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changed(raw: dict, random: np.random.Generator) -> dict:
    """The same with an odd value, a key that is gone, or one that nobody knows, at some random places."""
    raw = copy.deepcopy(raw)
    for _ in range(int(random.integers(1, 4))):
        paths = list(places(raw))
        *parents, last = paths[int(random.integers(len(paths)))]
        block = raw
        for key in parents:
            block = block[key]
        kind = random.integers(4)
        if kind == 0 and isinstance(block, dict):
            del block[last]
        elif kind == 1 and isinstance(block, dict):
            block[ODD[int(random.integers(len(ODD)))].__class__] = 1
        else:
            block[last] = copy.deepcopy(ODD[int(random.integers(len(ODD)))])
    return raw


@pytest.mark.parametrize("seed", range(8))
def test_odd_values_are_messages(seed):
    raw, random = yaml.safe_load(Path("config.yaml").read_text()), np.random.default_rng(seed)
    for _ in range(25):
        odd = changed(raw, random)
        try:
            load_config(odd)
        except InputError as error:
            assert error.found and error.fix, odd


@pytest.mark.parametrize("seed", range(4))
def test_damaged_text_is_a_message(tmp_path, seed):
    text, random = Path("demo/config.yaml").read_bytes(), np.random.default_rng(seed)
    path = tmp_path / "mine.yaml"
    for _ in range(25):
        damaged = bytearray(text)
        for place in random.integers(len(text), size=5):
            damaged[place] = int(random.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            read_config("config.yaml", path)
        except InputError as error:
            assert error.found and error.fix
