"""Nothing of a configuration depends on files: it is checked where no file can be opened."""

import subprocess
import sys

CHECK = """
import builtins, io, os, zipfile
from cellcascade.config import datasets, document, load, settings, values  # reading the modules themselves opens files


def refuse(*arguments, **options):
    raise AssertionError(f"opened {arguments}")


builtins.open = io.open = io.open_code = os.open = os.stat = zipfile.ZipFile = refuse
plane = {"folder": "A", "voxel_size_um": [1, 1]}
cellpose = {"start": "results/A/model", "version": 4}
given = {
    "A": {**plane, "texture": {"base": "models/sd", "space": "latent"}, "evaluation": {"inception": "some/file"}},
    "B": {"inherits": "A", "models_from": "A", "evaluation": {"cellpose": cellpose}},
}
config = load.load_config({"datasets": given, "multiview": {"weights": "some/folder"}})
assert config.datasets["B"].evaluation.training.batch_size == 2
assert config.selected and config.ablations and config.models_of("B") == "A"
try:
    load.load_config({"datasets": {"A": {**plane, "evaluation": {"cellpose": {"start": "cpsam"}}}}})
except load.InputError as error:
    assert "version: 4" in str(error)
else:
    raise AssertionError("not refused")
document.config_schema(), document.reference()
document.with_defaults(f"{document.FIRST_LINE}\\n{document.LAST_LINE}\\n")
"""


def test_a_configuration_is_checked_without_opening_a_file():
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
