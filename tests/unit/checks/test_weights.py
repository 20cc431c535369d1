"""Weights to start from are looked at with the data."""

from cellcascade.checks.weights import weight_findings
from cellcascade.config.load import load_config

DATA = {"folder": "A", "voxel_size_um": [1.0, 0.5, 0.5]}


def findings(**keys):
    return list(weight_findings(load_config({"datasets": {"A": DATA}, **keys}), "A"))


def test_the_packages_own_weights_are_sound():
    assert findings() == []


def test_weights_that_are_not_there_are_named_all_at_once(tmp_path):
    missing = str(tmp_path / "none")
    evaluation = {"cellpose": {"start": missing}}
    found = findings(
        multiview={"weights": missing}, defaults={"evaluation": evaluation, "mask_ddpm": {"base": missing}}
    )
    assert {finding.code for finding in found} == {"weights"} and len(found) == 3
    assert all(missing in finding.found + finding.where for finding in found)


def test_a_start_is_looked_at_where_a_network_is_trained_from_it(tmp_path):
    network = {"cellpose": {"start": str(tmp_path / "none")}}
    untrained = {"evaluation": {**network, "regimes": []}}
    assert findings(defaults=untrained) == []
    (found,) = findings(defaults={**untrained, "population": {"focus": 1}})
    assert found.code == "weights" and "none" in found.where
