from pathlib import Path

import pytest
import yaml

from cellcascade.cli import main
from cellcascade.config.load import load_config, overlay, read_config
from cellcascade.core.errors import InputError
from tests.unit.config.problems import PLANE, STACK, problems


def test_defaults_complete_every_data_set():
    config = load_config({"datasets": {"A": PLANE, "B": {**STACK, "cells": 3}}, "defaults": {"cells": 7, "images": 2}})
    assert (config.datasets["A"].cells, config.datasets["B"].cells) == (7, 3)
    assert config.datasets["B"].images == 2 and config.datasets["B"].crops.size == 128
    assert (config.datasets["A"].ndim, config.datasets["B"].ndim) == (2, 3)
    assert config.selected == ["A", "B"]


def test_part_of_a_block_keeps_the_rest_of_the_block():
    config = load_config(
        {
            "datasets": {"A": {**PLANE, "texture": {"train": {"steps": 5}}}},
            "defaults": {"texture": {"base": "scratch", "train": {"warmup": 0.5}}},
            "multiview": {"train": {"steps": 9}},
            "prior": {"texture": {"train": {"steps": 8}}},
        }
    )
    train = config.datasets["A"].texture.training
    assert (train.steps, train.warmup, train.batch_size) == (5, 0.5, 16)
    assert (config.multiview.train.steps, config.multiview.train.batch_size) == (9, 8)
    assert (config.prior.texture.train.steps, config.prior.texture.base) == (8, "scratch")
    assert config.prior.texture.channels == (64, 96, 96) and config.prior.texture.train.learning_rate == 8e-4


def test_entries_inherit_over_several_steps():
    raw = {
        "datasets": {
            "CE": {**STACK, "texture": {"rho": 0.7}, "cells": 9},
            "half": {"inherits": "CE", "models_from": "CE", "cells": 4},
            "ablation": {"inherits": "half", "reconstruction": {"method": "spharm"}},
        }
    }
    config = load_config(raw)
    ablation = config.datasets["ablation"]
    assert (ablation.cells, ablation.texture.rho, ablation.reconstruction.method) == (4, 0.7, "spharm")
    assert config.models_of("ablation") == "CE" and config.models_of("CE") == "CE"
    assert config.datasets["CE"].reconstruction.method == "neus"


VARIANTS = {
    "A": PLANE,
    "A_1": {"inherits": "A", "train_frames": 1},
    "A_2": {"inherits": "A", "train_frames": [3, 5]},
    "A_rho": {"inherits": "A", "models_from": "A", "texture": {"rho": 0.0}},
    "A_1_rho": {"inherits": "A_1", "texture": {"rho": 0.0}},
    "B": {"inherits": "A", "folder": "Other"},
    "B_1": {"inherits": "B", "train_frames": 1},
    "C": {"folder": "Stacks", "voxel_size_um": [1.0, 0.5, 0.5]},
    "C_3": {"inherits": "C", "train_slices": 3},
}


def test_variants_are_left_out_of_all_and_form_curves_and_ablations():
    config = load_config({"datasets": VARIANTS})
    assert config.selected == ["A", "B", "C"]
    assert config.learning_curves == [["A_1", "A_2", "A"], ["B_1", "B"], ["C_3", "C"]] and config.replicates == []
    assert config.ablations == [("A", "A_rho"), ("A_1", "A_1_rho")]
    one = load_config({"datasets": VARIANTS, "run": ["B", "A_rho"]})
    assert one.selected == ["B", "A_rho"] and one.learning_curves == [["B_1", "B"]] and one.ablations == []


def test_replicates_learn_from_as_much_each():
    more = {
        "A_2b": {"inherits": "A", "train_frames": [1, 4]},
        "A_p": {"inherits": "A", "train_frames": 2, "train_patch": 64},
    }
    config = load_config({"datasets": {**VARIANTS, **more}})
    assert config.replicates == [["A_2", "A_2b"]]


def test_models_of_other_frames_are_not_reused_and_folders_of_results_are_no_names():
    (found,) = problems({"datasets": {**VARIANTS, "A_1": {"inherits": "A", "models_from": "A", "train_frames": 1}}})
    assert "datasets.A_1.models_from: the models of 'A' learned from other train_frames" in found
    (found,) = problems({"datasets": {**VARIANTS, "C_3": {"inherits": "C", "models_from": "C", "train_slices": 3}}})
    assert "datasets.C_3.models_from: the models of 'C' learned from other train_frames, train_slices" in found
    (found,) = problems({"datasets": {"A": {**PLANE, "train_slices": 3}}})
    assert "train_slices 3 is for stacks" in found
    (found,) = problems({"datasets": {"overview": PLANE}})
    assert "results/overview holds something else" in found


def test_an_overlay_can_drop_a_data_set():
    raw = overlay({"datasets": {"A": PLANE, "B": STACK}}, {"datasets": {"A": None}})
    assert list(load_config(raw).datasets) == ["B"]


def test_all_problems_are_reported_at_once_each_with_its_path():
    found = problems(
        {
            "sed": 3,
            "device": "gpu",
            "defaults": {"cells": 0, "population": {"clustering": 2}},
            "datasets": {
                "A": {**PLANE, "crops": {"sise": 64}, "train_sequence": 1},
                "B": {"voxel_size_um": [1, 0.1, -0.1]},
                "C": "here",
            },
            "multiview": {"train": {"steps": "many"}},
        }
    )
    expected = [
        "datasets.C: must be a block of keys such as folder and voxel_size_um (found 'here')",
        "sed: unknown key (found 3)",
        "device: Input should be 'auto', 'cpu' or 'cuda' (found 'gpu')",
        "defaults.cells: Input should be greater than or equal to 1 (found 0)",
        "defaults.population.clustering: Input should be less than or equal to 1, or 'from_data' (found 2)",
        "datasets.A.crops.sise: unknown key (found 64)",
        "datasets.A.train_sequence: must be text; put it in quotes (found 1)",
        "datasets.B.folder: is required, and missing",
        "datasets.B.voxel_size_um.2: Input should be greater than 0 (found -0.1)",
        "multiview.train.steps: Input should be a valid integer, unable to parse string as an integer (found 'many')",
    ]
    assert sorted(found) == sorted(expected)


def test_a_problem_is_blamed_on_the_entry_that_holds_the_key():
    raw = {
        "defaults": {"cells": 5},
        "datasets": {"CE": {**STACK, "texture": {"guidance": -1}}, "half": {"inherits": "CE", "images": 0}},
    }
    assert sorted(problems(raw)) == [
        "datasets.CE.texture.guidance: Input should be greater than or equal to 0 (found -1)",
        "datasets.half.images: Input should be greater than or equal to 1 (found 0)",
    ]


def test_a_value_that_may_be_one_thing_or_another_has_one_line():
    settings = {"texture": {"rho": -1}, "population": {"reach": "far", "clustering": 2}}
    assert sorted(problems({"datasets": {"CE": {**STACK, **settings}}})) == [
        "datasets.CE.population.clustering: Input should be less than or equal to 1, or 'from_data' (found 2)",
        "datasets.CE.population.reach: Input should be a valid integer, unable to parse string as an integer, or "
        "'from_data' (found 'far')",
        "datasets.CE.texture.rho: Input should be greater than or equal to 0, or 'from_data' (found -1)",
    ]


@pytest.mark.parametrize(
    "raw", [{}, {"datasets": None}, {"datasets": ["A"]}, {"datasets": {"A": PLANE}, "defaults": 3}]
)
def test_blocks_of_the_wrong_type_are_named(raw):
    found = problems(raw)
    assert all(line.startswith(("datasets", "defaults")) for line in found)


def test_run_names_data_sets():
    assert "run names 'B', but datasets holds ['A']" in problems({"datasets": {"A": PLANE}, "run": ["B"]})[0]


def test_a_name_of_a_data_set_that_is_none_is_named():
    (found,) = problems({"datasets": {"a b": PLANE}})
    assert found.startswith("datasets.a b: a data set's name may hold letters, digits, - and _")
    (found,) = problems({"datasets": {"A": PLANE, 1: PLANE}})
    assert found == "datasets.1: a data set's name must be text; put it in quotes"


def test_paths_hold_no_names_of_types():
    found = problems({"datasets": {"A": {**PLANE, "train_frames": 0}, "B": {**STACK, "train_slices": [1, "x"]}}})
    assert {line.split(": ")[0] for line in found} == {
        "datasets.A.train_frames",
        "datasets.B.train_slices",
        "datasets.B.train_slices.1",
    }


@pytest.mark.parametrize(
    "text, expected",
    [
        (None, "No such file or directory"),
        ("datasets: [1\nseed: 2", "line 2, column 5"),
        ("- a", "list ['a']"),
        ("just text", "str 'just text'"),
        (b"seed: \xff", "no text (UTF-8)"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_why(tmp_path, text, expected):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert caught.value.what == "The configuration cannot be read"
    assert caught.value.where == str(path) and expected in caught.value.found


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"datasets": {"A": PLANE}}))
    (tmp_path / "b.yaml").write_text("# nothing\n")
    assert list(read_config(tmp_path / "a.yaml", tmp_path / "b.yaml").datasets) == ["A"]


def test_later_files_override_earlier_ones(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"datasets": {"A": PLANE}, "seed": 1}))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"seed": 2, "defaults": {"crops": {"size": 64}}}))
    config = read_config(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert config.seed == 2 and config.datasets["A"].crops.size == 64


def test_check_names_configuration_problems_and_missing_data(tmp_path, capsys, monkeypatch):
    demo = yaml.safe_load(Path("demo/config.yaml").read_text())
    data = str(Path("demo/data").absolute())
    monkeypatch.chdir(tmp_path)  # pages are written here
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"datasets": {"A": PLANE}, "data_root": str(tmp_path)}))
    assert main(["check", str(config)]) == 1
    said = capsys.readouterr()
    assert "A: 1 error" in said.out and "The data set Fluo-N2DH-GOWT1 is not there" in said.out
    assert "1 error found" in said.err
    weights = {"data_root": data, "multiview": {"weights": str(tmp_path / "none")}}
    config.write_text(yaml.safe_dump(demo | weights))
    assert main(["check", str(config)]) == 1
    said = capsys.readouterr()
    assert "The multiview model cannot be loaded" in said.out.split("embryo3d: 1 error")[1]
    assert "nuclei2d: Sound" in said.out and (tmp_path / "results/nuclei2d/check/index.html").exists()
    config.write_text("seed: -1")
    assert main(["check", str(config)]) == 1
    assert "seed: Input should be greater than or equal to 0 (found -1)" in capsys.readouterr().err
