"""Values that are refused because of others, values that are refused by themselves, and values that are accepted."""

import pytest

from cellcascade.config.load import load_config
from cellcascade.config.settings import Cellpose, Evaluation, MaskDDPM
from tests.unit.config.problems import FROM_SCRATCH, PLANE, STACK, problems, problems_of

BINARY = {"representation": "binary"}
EIGHT_LEVELS = [8] * 8


@pytest.mark.parametrize(
    "change, where, message",
    [
        ({"crops": {"size": 80}}, "crops.size", "mask_ddpm.grid 32 must divide crops.size 80"),
        ({"crops": {"margin": 64}}, "crops.margin", "margin 64 leaves no room for a cell in size 128"),
        ({"mask_ddpm": {"grid": 2}}, "mask_ddpm.grid", "grid 2 cannot be halved 2 times"),
        ({"mask_ddpm": {"channels": EIGHT_LEVELS}}, "mask_ddpm.channels", "grid 32 cannot be halved 7 times"),
        (
            {"mask_ddpm": {**BINARY, "channels": EIGHT_LEVELS + [8]}},
            "mask_ddpm.channels",
            "of binary masks, crops.size 128 cannot be halved 8 times",
        ),
        (
            {"crops": {"size": 98}, "mask_ddpm": BINARY, "texture": {"block": 1, "channels": [8]}},
            "crops.size",
            "of binary masks, crops.size 98 cannot be halved 2 times",
        ),
        ({"mask_ddpm": {"channels": [16, 4]}}, "mask_ddpm.channels", "channels [16, 4]: the last must be at least 8"),
        (
            {"mask_ddpm": {"timesteps": 40}},
            "mask_ddpm.timesteps",
            "sampling_steps 50 must not be more than mask_ddpm.timesteps 40",
        ),
        ({"texture": {"space": "latent"}}, "texture.space", "texture.space latent needs a texture.base"),
        (
            {"crops": {"size": 48}, "mask_ddpm": {"base": "nuclei"}},
            "crops.size",
            "mask_ddpm.base nuclei needs crops.size to be a multiple of 32, it is 48",
        ),
        (
            {"crops": {"size": 40}, "mask_ddpm": {"grid": 20}, "texture": {"base": "nuclei"}},
            "crops.size",
            "texture.base nuclei needs crops.size to be a multiple of 16, it is 40",
        ),
        (
            {"texture": {"base": "nuclei", "space": "latent"}},
            "texture.space",
            "texture.base nuclei works in space pixel",
        ),
        ({"texture": {"guidance": 5}}, "texture.guidance", "guidance 5.0 needs a model that also learned without"),
        ({"texture": {"channels": [16, 4]}}, "texture.channels", "the last must be at least 8"),
        (
            {"texture": {"sampling_steps": 2000}},
            "texture.sampling_steps",
            "must not be more than texture.timesteps 1000",
        ),
        (
            {"crops": {"size": 32}, "texture": {"block": 8, "channels": [8, 8, 8, 8]}},
            "crops.size",
            "texture.block and texture.channels need crops.size to be a multiple of 64, it is 32",
        ),
        (
            {"crops": {"size": 96}, "texture": {"space": "latent", "autoencoder": "a/b", "channels": [8] * 5}},
            "crops.size",
            "texture.block and texture.channels need crops.size to be a multiple of 64, it is 96",
        ),
        (
            {"population": {"frame_shape": [4, 64, 64]}},
            "population.frame_shape",
            "as many axes as voxel_size_um (0.24,",
        ),
        ({"population": {"cells_per_image": [0, 0]}}, "population.cells_per_image", "makes images without cells"),
        ({"test_sequence": "01"}, "test_sequence", "train_sequence and test_sequence are both '01'"),
        ({"train_slices": 3}, "train_slices", "train_slices 3 is for stacks"),
        ({"voxel_size_um": [0.24, 0.3]}, "voxel_size_um", "y and x pixel sizes differ"),
        ({"models_from": "B"}, "models_from", "'B' must name another data set"),
        ({"inherits": "B"}, "inherits", "there is no such data set (found 'B', of ['A'])"),
        ({"inherits": "A"}, "inherits", "the data sets inherit from each other in a circle"),
        ({"evaluation": {"regimes": ["both"]}}, "evaluation.regimes", "regimes ['both'] must differ, and hold real"),
        (
            {"evaluation": {"cellpose": {"real_share": 0.01}}},
            "evaluation.cellpose.real_share",
            "cellpose.real_share 0.01 of cellpose.train.batch_size 8 is not a mixture",
        ),
        (
            {"evaluation": {"cellpose": {"start": "cpsam", "version": 4}, "cellpose4": {"batch_size": 1}}},
            "evaluation.cellpose4.batch_size",
            "cellpose.real_share 0.5 of cellpose4.batch_size 1 is not a mixture",
        ),
    ],
)
def test_settings_that_do_not_fit_together(change, where, message):
    (found,) = problems_of(change)
    assert found.startswith(f"datasets.A.{where}: ") and message in found


@pytest.mark.parametrize(
    "change, where, message",
    [
        (
            {"population": {"cells_per_image": [60, 20]}},
            "population.cells_per_image",
            "[60, 20] must be in rising order",
        ),
        ({"population": {"cells_per_image": [-1, 2]}}, "population.cells_per_image.0", "greater than or equal to 0"),
        ({"population": {"cells_per_image": [20]}}, "population.cells_per_image.1", "is required, and missing"),
        ({"crops": {"window_percentiles": [99, 150]}}, "crops.window_percentiles.1", "less than or equal to 100"),
        (
            {"crops": {"window_percentiles": [99, 1]}},
            "crops.window_percentiles",
            "must be in rising order: [1.0, 99.0]",
        ),
        ({"mask_ddpm": {"channels": []}}, "mask_ddpm.channels", "at least 1 item"),
        ({"mask_ddpm": {"timesteps": 1}}, "mask_ddpm.timesteps", "greater than or equal to 2"),
        ({"texture": {"timesteps": 24}}, "texture.timesteps", "greater than or equal to 25"),
        ({"reconstruction": {"samples": 1}}, "reconstruction.samples", "greater than or equal to 2"),
        ({"evaluation": {"cellpose": {"patch": 100}}}, "evaluation.cellpose.patch", "multiple of 8"),
        (
            {"evaluation": {"cellpose": {"version": 2}}},
            "evaluation.cellpose.version",
            "Input should be 3 or 4 (found 2)",
        ),
    ],
)
def test_values_that_no_network_or_range_can_have(change, where, message):
    found = problems_of(change)
    assert any(line.startswith(f"datasets.A.{where}: ") and message in line for line in found)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"shapes": {"roughness": [0.2, 0.1]}}, "shapes.roughness: [0.2, 0.1] must be in rising order: [0.1, 0.2]"),
        ({"shapes": {"elongation": [1.3, 0.6]}}, "shapes.elongation: [1.3, 0.6] must be in rising order"),
        ({"shapes": {"fill": [0.8, 0.4]}}, "shapes.fill: [0.8, 0.4] must be in rising order"),
        ({"shapes": {"fill": [0.4, 1.4]}}, "shapes.fill.1: Input should be less than or equal to 1 (found 1.4)"),
        ({"shapes": {"resolution": 33}}, "shapes.resolution: Input should be a multiple of 2 (found 33)"),
        ({"shapes": {"degree": 45}}, "shapes.degree: Input should be less than or equal to 44 (found 45)"),
        ({"multiview": {"channels": 20}}, "multiview.channels: Input should be a multiple of 8 (found 20)"),
        (
            {"multiview": {"volume_channels": 20}},
            "multiview.volume_channels: Input should be a multiple of 8 (found 20)",
        ),
        (
            {"multiview": {"weights": "train", "timesteps": 20}},
            "multiview.sampling_steps: multiview.sampling_steps 25 must not be more than",
        ),
    ],
)
def test_values_of_the_shared_blocks_that_cannot_be(change, message):
    (found,) = problems({"datasets": {"A": PLANE}, **change})
    assert found.startswith(message)


@pytest.mark.parametrize(
    "change",
    [
        {"mask_ddpm": {**BINARY, "grid": 50}},
        {"mask_ddpm": {**BINARY, "grid": 3, "channels": [8, 8, 8, 8]}},
        {"population": {"cells_per_image": [0, 20]}},
        {"population": {"cells_per_image": [20, 20]}},
        {"crops": {"window_percentiles": [0, 100]}},
        {"evaluation": {"regimes": [], "cellpose": {"real_share": 0.0}}},
        {"evaluation": {"regimes": ["real", "synthetic"], "cellpose": {"train": {"batch_size": 1}}}},
        {"texture": {"base": "some/sd", "block": 2, "channels": [8] * 9}},
        {"mask_ddpm": {"base": "nuclei", "grid": 7, "channels": [4]}},
        {"texture": {"base": "nuclei", "block": 8, "channels": [4], "timesteps": 30}},
        {"texture": {"space": "latent", "autoencoder": "some/vae"}},
        {"texture": {"base": "some/sd", "space": "latent", "channels": [4], "timesteps": 30}},
        {"crops": {"size": 100}, "mask_ddpm": {"grid": 20}, "texture": {"base": "some/sd", "space": "latent"}},
    ],
)
def test_what_is_not_read_is_not_checked_and_ranges_hold_their_ends(change):
    load_config({"datasets": {"A": {**PLANE, **change}}, "defaults": FROM_SCRATCH})


def test_time_steps_of_weights_that_are_there_are_their_own():
    assert load_config({"datasets": {"A": STACK}, "multiview": {"timesteps": 20}}).multiview.sampling_steps == 25


def test_a_conflict_is_blamed_on_the_entry_that_brought_it_about():
    entries = {"A": {**PLANE, "crops": {"size": 64}}, "B": {"inherits": "A", "crops": {"size": 100}}}
    scratch = {"mask_ddpm": {"base": "scratch", "grid": 16}, "texture": {"base": "scratch"}}
    raw = {"datasets": entries, "defaults": scratch}
    assert [line.split(": ")[0] for line in problems(raw)] == ["datasets.B.crops.size"] * 2
    raw = {"datasets": {"A": PLANE, "B": STACK}, "defaults": {"mask_ddpm": {"base": "scratch", "grid": 2}}}
    assert problems(raw) == [
        "defaults.mask_ddpm.grid: grid 2 cannot be halved 2 times: use fewer channels entries or a multiple of 4"
    ]


def test_defaults_need_not_fit_together_before_a_data_set_completes_them():
    defaults = {"evaluation": {"cellpose": {"version": 4}}, "mask_ddpm": {"base": "scratch", "grid": 12}}
    own = {"evaluation": {"cellpose": {"start": "cpsam"}}, "crops": {"size": 96}}
    config = load_config({"datasets": {"A": {**PLANE, **own}}, "defaults": defaults})
    assert config.datasets["A"].evaluation.cellpose.version == 4


def test_conflicts_of_all_blocks_are_reported_at_once():
    raw = {
        "run": ["C"],
        "datasets": {"A": {**PLANE, "crops": {"size": 80}, "texture": {"guidance": 2}, "test_sequence": "01"}},
        "multiview": {"weights": "train", "timesteps": 20},
    }
    places = {line.split(": ")[0] for line in problems(raw)}
    of_the_data_set = {"datasets.A.crops.size", "datasets.A.texture.guidance", "datasets.A.test_sequence"}
    assert places == {"run", "multiview.sampling_steps"} | of_the_data_set
    raw["datasets"]["B"] = {**PLANE, "cells": 0}
    assert {line.split(": ")[0] for line in problems(raw)} == {"datasets.B.cells"} | of_the_data_set
    raw["datasets"]["B"] = {"inherits": "C"}
    assert {line.split(": ")[0] for line in problems(raw)} == {"datasets.B.inherits"} | of_the_data_set


def test_blocks_by_themselves_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="grid 2 cannot be halved 2 times"):
        MaskDDPM(base="scratch", grid=2)


@pytest.mark.parametrize(
    "cellpose, where, message",
    [
        ({"start": "cpsam"}, "start", "start 'cpsam' belongs to Cellpose 4, not to version 3: set version: 4, or"),
        ({"start": "models/cpsam_v2"}, "start", "belongs to Cellpose 4, not to version 3: set version: 4"),
        ({"start": "cyto3", "version": 4}, "start", "belongs to Cellpose 3, not to version 4: set version: 3, or"),
        ({"version": 4}, "version", "version 4, which is never trained from nothing: use cpsam or a path"),
        (
            {"start": "cpsam", "version": 4, "patch": 224},
            "patch",
            "patch 224 cannot be chosen in version 4, it is 256: leave it out, or set patch: null",
        ),
        (
            {"start": "cpsam", "version": 4, "network_diameter": 17},
            "network_diameter",
            "network_diameter 17.0 cannot be chosen in version 4, it is 30: leave it out",
        ),
    ],
)
def test_settings_of_the_other_cellpose_are_refused(cellpose, where, message):
    (found,) = problems_of({"evaluation": {"cellpose": cellpose}})
    assert found.startswith(f"datasets.A.evaluation.cellpose.{where}: ") and message in found


def test_each_cellpose_has_its_own_sizes_and_training():
    three, four = Cellpose(), Cellpose(version=4, start="./mine")
    assert (three.patch_pixels, three.diameter_pixels) == (224, 30.0)
    assert (four.patch_pixels, four.diameter_pixels) == (256, 30.0)
    chosen = Cellpose(patch=64, network_diameter=17)
    assert (chosen.patch_pixels, chosen.diameter_pixels) == (64, 17.0)
    assert Cellpose(version=4, start="cpsam", patch=256, network_diameter=30).patch_pixels == 256
    evaluation = Evaluation(cellpose=three)
    assert evaluation.training is evaluation.cellpose.train
    evaluation = Evaluation(cellpose=four)
    assert evaluation.training is evaluation.cellpose4 and evaluation.training.learning_rate == 1e-5


@pytest.mark.parametrize("source", ["A", "nothing", "stack"])
def test_a_background_is_borrowed_from_another_data_set_with_as_many_axes(source):
    plane, stack = ({"folder": "F", "voxel_size_um": size} for size in ([1, 1], [1, 1, 1]))
    datasets = {"A": {**plane, "background_from": source}, "B": plane, "stack": stack}
    (found,) = problems({"datasets": datasets})
    assert found.startswith(f"datasets.A.background_from: {source!r} must name another data set")
    datasets["A"]["background_from"] = "B"
    assert load_config({"datasets": datasets}).datasets["A"].background_from == "B"
