"""Files that must agree with each other: schema, documents, comments, environments, style."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cellcascade.config.cellpose_versions import ENVIRONMENTS, RELEASES
from cellcascade.config.datasets import Config
from cellcascade.config.document import config_schema, describe, leaves, reference
from cellcascade.config.load import read_config
from cellcascade.core.stages import STAGE_VERSIONS
from tests.workflow.dry_run import REPOSITORY

KEYS = [leaf for leaf in leaves(Config) if leaf[0] != "datasets"]
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


def test_overlays_fit_the_configuration():
    base = REPOSITORY / "config.yaml"
    preset = read_config(base, REPOSITORY / "presets/cpu.yaml")
    assert preset.defaults.cells < read_config(base).defaults.cells
    assert read_config(base, REPOSITORY / "demo/config.yaml").selected == ["nuclei2d", "embryo3d"]


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
    fetch = {"texture_base", "cellpose_weights", "inception_weights"}
    assert set(STAGE_VERSIONS) == set(rules) - fetch
    for rule, text in rules.items():
        assert f'"../../scripts/{rule}.py"' in text and "log:" in text, rule
        assert rule in fetch or ("benchmark:" in text and f'version=STAGE_VERSIONS["{rule}"]' in text), rule


def test_parameters_of_each_rule_are_those_of_its_script():
    for rule, text in blocks_of_rules().items():
        parameters = text.split("    params:\n")[1] if "    params:\n" in text else ""
        given = set(re.findall(r"^        (\w+)=", parameters.split("    script:")[0], re.MULTILINE))
        tree = ast.parse((REPOSITORY / f"scripts/{rule}.py").read_text())
        (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
        assert [argument.arg for argument in main.args.args] == ["inputs", "outputs"]
        shared = {"device", "max_invalid_fraction"}
        assert {argument.arg for argument in main.args.kwonlyargs} - shared == given - {"version"}, rule


def test_rules_that_ask_for_a_gpu_are_those_whose_scripts_take_a_device():
    for rule, text in blocks_of_rules().items():
        script = (REPOSITORY / f"scripts/{rule}.py").read_text()
        assert ("gpu=1," in text) == ('snakemake.config["device"]' in script or '("device", ' in script), rule


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
