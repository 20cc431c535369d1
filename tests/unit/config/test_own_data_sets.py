"""With data sets of one's own, those of the shipped file do not come along."""

import pytest

from cellcascade.config.load import load_config, overlay, own_data_sets
from cellcascade.core.errors import InputError
from tests.unit.config.problems import PLANE, STACK

SHIPPED = {
    "run": None,
    "datasets": {
        "A": PLANE,
        "B": STACK,
        "B_2": {"inherits": "B", "train_frames": 2},
        "B_half": {"inherits": "B_2", "models_from": "A"},
    },
}
MINE = {"datasets": {"mine": PLANE}}


def left(given: dict) -> list[str]:
    """Names of the data sets that remain when `given` is on top of the shipped file."""
    return list(own_data_sets(overlay(SHIPPED, given), given)["datasets"])


@pytest.mark.parametrize(
    "given, expected",
    [
        (MINE, ["mine"]),
        ({}, ["A", "B", "B_2", "B_half"]),
        ({"datasets": {"A": {"cells": 3}}}, ["A", "B", "B_2", "B_half"]),
        ({"datasets": {"variant": {"inherits": "B"}}}, ["A", "B", "B_2", "B_half", "variant"]),
        ({"datasets": {**MINE["datasets"], "A": {"cells": 3}}}, ["A", "mine"]),
        (
            {"datasets": {**MINE["datasets"], "variant": {"inherits": "B_half"}}},
            ["A", "B", "B_2", "B_half", "mine", "variant"],
        ),
        ({**MINE, "run": ["A", "mine"]}, ["A", "mine"]),
        ({**MINE, "prior": {"data": ["B"]}}, ["B", "mine"]),
        (overlay(SHIPPED, MINE), ["A", "B", "B_2", "B_half", "mine"]),
    ],
)
def test_what_stays(given, expected):
    assert left(given) == expected


def test_defaults_of_ones_own_are_judged_with_ones_own_data_sets():
    given = {**MINE, "defaults": {"population": {"frame_shape": [64, 64]}}}
    config = load_config(own_data_sets(overlay(SHIPPED, given), given))
    assert config.selected == ["mine"]
    with pytest.raises(InputError, match="population.frame_shape"):
        load_config(overlay(SHIPPED, given))


@pytest.mark.parametrize("given", [{"datasets": 3}, {"datasets": {"mine": 3}}, {"datasets": {3: {"folder": "x"}}}])
def test_what_is_no_configuration_is_left_to_the_check(given):
    with pytest.raises(InputError, match="datasets"):
        load_config(own_data_sets(overlay(SHIPPED, given), given))


def test_the_data_folder_may_be_that_of_the_user_or_of_a_variable(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("LAB", "/share/lab")
    entry = {"mine": {"folder": "Mine", "voxel_size_um": [1.0, 1.0]}}
    roots = {"~/data": "/home/me/data", "$LAB/data": "/share/lab/data", "data": "data"}
    for written, meant in roots.items():
        assert load_config({"data_root": written, "datasets": entry}, "mine.yaml").data_root == meant
