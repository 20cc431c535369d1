"""Files that must agree with each other: schema, documents, comments, environments, style."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cellcascade.cli import main
from cellcascade.config.cellpose_versions import ENVIRONMENTS, RELEASES
from cellcascade.config.datasets import Config
from cellcascade.config.document import (
    FIRST_LINE,
    LAST_LINE,
    config_schema,
    describe,
    leaves,
    reference,
    with_defaults,
)
from cellcascade.config.load import load_config, read_config
from cellcascade.core.jobs import REASONS
from cellcascade.core.stages import STAGE_VERSIONS
from tests.workflow.dry_run import REPOSITORY

# Priors of one's own are rare: docs/configuration.md has their keys, most of which are those of the two models.
KEYS = [leaf for leaf in leaves(Config) if leaf[0] != "datasets" and not leaf[0].startswith("prior.")]
APART = {"cellpose4": {"cellpose", "torchvision"}}  # what an environment pins in another version than the lock file
RULES = "".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))


def blocks_of_rules() -> dict[str, str]:
    return {text.split(":")[0]: text for text in re.split(r"^rule ", RULES, flags=re.MULTILINE)[1:]}


def locked() -> dict[str, str]:
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def pins(environment: Path) -> dict[str, str]:
    dependencies = yaml.safe_load(environment.read_text())["dependencies"]
    return dict(line.split("==") for item in dependencies if isinstance(item, dict) for line in item["pip"])


def test_schema_and_reference_are_those_of_the_models():
    assert json.loads((REPOSITORY / "workflow/schemas/config.schema.json").read_text()) == config_schema()
    assert (REPOSITORY / "docs/configuration.md").read_text() == reference()


def test_schema_accepts_the_shipped_configuration():
    jsonschema = pytest.importorskip("jsonschema")
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    jsonschema.validate(raw, config_schema())
    raw["datasets"]["ablation"] = {"inherits": "CE", "models_from": "CE"}
    jsonschema.validate(raw, config_schema())
    raw["datasets"]["incomplete"] = {"models_from": "CE"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, config_schema())


@pytest.mark.parametrize("path, field, default", KEYS, ids=[leaf[0] for leaf in KEYS])
def test_config_yaml_holds_every_key_with_its_default_and_comment(path, field, default):
    text = (REPOSITORY / "config.yaml").read_text()
    value = yaml.safe_load(text)
    for key in path.split("."):
        value = value[key]
    assert value == json.loads(json.dumps(default))
    name = path.split(".")[-1]
    assert re.search(rf"^ *{name}: .*# {re.escape(describe(field))}$", text, re.MULTILINE)


def test_defaults_in_config_yaml_are_those_that_the_models_write():
    text = (REPOSITORY / "config.yaml").read_text()
    assert with_defaults(text) == text


def test_writing_the_defaults_resets_them_and_leaves_the_rest(tmp_path):
    text = (REPOSITORY / "config.yaml").read_text()
    changed = text.replace("cells: 1000 ", "cells: 7 ").replace("levels: null", "levels: 4, x: 1")
    assert changed != text
    path = tmp_path / "config.yaml"
    path.write_text(changed.replace("data_root: data ", "data_root: mine ") + "mine: 1\n")
    assert main(["defaults", str(path)]) == 0
    assert path.read_text() == text.replace("data_root: data ", "data_root: mine ") + "mine: 1\n"


def test_defaults_are_written_only_where_lines_mark_them(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    for text in ("defaults: {}\n", f"{FIRST_LINE}\ndefaults: {{}}\n"):
        path.write_text(text)
        assert main(["defaults", str(path)]) == 1
        assert LAST_LINE in capsys.readouterr().err and path.read_text() == text


def test_a_configuration_of_before_loads():
    before = load_config(
        {
            "datasets": {"A": {"folder": "A", "voxel_size_um": [0.2, 0.2]}},
            "defaults": {"evaluation": {"cellpose": {"start": "scratch", "network_diameter": 30.0, "patch": 224}}},
        }
    )
    now = load_config({"datasets": {"A": {"folder": "A", "voxel_size_um": [0.2, 0.2]}}})
    networks = [config.datasets["A"].evaluation.cellpose for config in (before, now)]
    assert networks[0].patch_pixels == networks[1].patch_pixels
    assert networks[0].diameter_pixels == networks[1].diameter_pixels
    assert networks[0].train == networks[1].train


def test_overlays_fit_the_configuration():
    base = REPOSITORY / "config.yaml"
    preset = read_config(base, REPOSITORY / "presets/cpu.yaml")
    assert preset.defaults.cells < read_config(base).defaults.cells
    demo = [base, REPOSITORY / "demo/config.yaml"]
    assert read_config(*demo).selected == ["nuclei2d", "embryo3d"]
    proof = read_config(*demo, REPOSITORY / "presets/evaluation-cpu.yaml")
    assert proof.datasets["nuclei2d"].evaluation.cellpose.patch_pixels == 64


@pytest.mark.parametrize("environment", sorted((REPOSITORY / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_environments_pin_what_the_lock_file_pins(environment):
    pinned, apart = pins(environment), APART.get(environment.stem, set())
    assert pinned.keys() > apart and {name for name in apart if pinned[name] == locked().get(name)} == set()
    assert {name: version for name, version in pinned.items() if name not in apart}.items() <= locked().items()


@pytest.mark.parametrize("environment", sorted((REPOSITORY / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_environments_install_the_package_itself(environment):
    assert "pip install --no-deps" in environment.with_suffix(".post-deploy.sh").read_text()


def test_each_version_of_cellpose_has_its_environment():
    for version, name in ENVIRONMENTS.items():
        assert pins(REPOSITORY / f"envs/{name}.yaml")["cellpose"].startswith(f"{RELEASES[version]}.")


def test_environment_of_each_rule_has_what_its_script_imports():
    from importlib.metadata import packages_distributions

    owners = packages_distributions()
    for rule, text in blocks_of_rules().items():
        script = REPOSITORY / "scripts" / re.search(r"scripts/(\w+\.py)", text)[1]
        for environment, module in environments(text).items():
            there = {name.lower() for name in pins(REPOSITORY / f"envs/{environment}.yaml")}
            for package in third_party(script, *module):
                names = {name.lower().replace("_", "-") for name in owners.get(package, [package])}
                assert names & there, f"rule {rule}: {package} is not in {environment}"


def environments(text: str) -> dict[str, list[Path]]:
    """Environments of a rule, and what else is imported there: of Cellpose, the module of its version."""
    if "cellpose_environment(" not in text:
        return {re.search(r"envs/(\S+)\.yaml\"", text)[1]: []}
    folder = REPOSITORY / "src/cellcascade/evaluation/cellpose"
    return {name: [folder / f"v{version}.py"] for version, name in ENVIRONMENTS.items()}


def third_party(*files: Path) -> set[str]:
    """Packages that files import when they start, through the library's modules as well."""
    todo, seen, found = list(files), set(), set()
    while todo:
        path = todo.pop()
        seen.add(path)
        for name in imported(path):
            top, module = name.split(".")[0], REPOSITORY / "src" / name.replace(".", "/")
            files = [file for file in (module.with_suffix(".py"), module / "__init__.py") if file.exists()]
            todo += [file for file in files if file not in seen]
            if top != "cellcascade" and top not in sys.stdlib_module_names:
                found.add(top)
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_rule_has_a_script_a_log_a_benchmark_and_a_version():
    rules = blocks_of_rules()
    assert set(rules) == {path.stem for path in (REPOSITORY / "scripts").glob("*.py")}
    fetch = {"texture_base", "cellpose_weights", "inception_weights", "download_ctc"}
    assert set(STAGE_VERSIONS) == set(rules) - fetch
    for rule, text in rules.items():
        assert f'"../../scripts/{rule}.py"' in text and "log:" in text, rule
        assert rule in fetch or ("benchmark:" in text and f'version=STAGE_VERSIONS["{rule}"]' in text), rule


def stage_of(rule: str) -> inspect.Signature:
    """The signature of the function that a rule's script runs."""
    script = (REPOSITORY / f"scripts/{rule}.py").read_text()
    (name,) = re.findall(r"^    run_job\((\w+), snakemake\)", script, re.MULTILINE)
    (module,) = re.findall(rf"^from (cellcascade\S+) import {name}$", script, re.MULTILINE)
    return inspect.signature(getattr(importlib.import_module(module), name))


def names_in(text: str, section: str) -> set[str]:
    """The names that a rule gives its inputs, outputs or params."""
    lines = re.search(rf"^    {section}:\n((?: {{8}}.*\n|\n)+)", text, re.MULTILINE)
    return set(re.findall(r"^ {8}(\w+)=", lines[1], re.MULTILINE)) if lines else set()


@pytest.mark.parametrize("rule, text", blocks_of_rules().items(), ids=blocks_of_rules())
def test_each_rule_gives_its_stage_what_it_takes(rule, text):
    taken = stage_of(rule).parameters
    assert all(parameter.kind == parameter.KEYWORD_ONLY for parameter in taken.values())
    inputs, outputs, params = (names_in(text, section) for section in ("input", "output", "params"))
    assert len(inputs | outputs | params) == len(inputs) + len(outputs) + len(params), "one name for one thing"
    assert outputs | params - REASONS <= taken.keys()
    needed = {name for name, parameter in taken.items() if parameter.default is parameter.empty}
    assert needed <= inputs | outputs | params | {"device", "max_invalid_fraction", "sampling_batches"}


@pytest.mark.parametrize("rule, text", blocks_of_rules().items(), ids=blocks_of_rules())
def test_rules_ask_for_a_gpu_if_their_stages_take_a_device(rule, text):
    assert ("gpu=1," in text) == ("device" in stage_of(rule).parameters)


def test_what_the_snakefile_imports_is_free_of_torch():
    modules = sorted(set(re.findall(r"^from (cellcascade\S*) import", RULES, re.MULTILINE)))
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert len(modules) >= 4
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_style_of_the_workflow():
    command = [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakemake_finds_nothing_to_complain_about(project):
    assert "your workflow is in a good condition" in project.snakemake("--lint", "--configfile", "demo/config.yaml")


def test_the_cluster_profile_sends_every_gpu_job_to_the_partition_with_gpus():
    profile = yaml.safe_load((REPOSITORY / "slurm/config.yaml").read_text())
    on_gpus = {rule for rule, text in blocks_of_rules().items() if "gpu=1" in text}
    assert set(profile["set-resources"]) == on_gpus
    assert {entry["slurm_partition"] for entry in profile["set-resources"].values()} == {"gpu"}
