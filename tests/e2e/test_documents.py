"""The Python examples of the documents, on the results of the cascade."""

import re

import pytest

from tests.workflow.dry_run import REPOSITORY


@pytest.mark.parametrize("document", ["README.md", "docs/outputs.md", "docs/stores.md"])
def test_examples_open_results(cascade, document, tmp_path, monkeypatch):
    (tmp_path / "results").symlink_to(cascade.folder / "results")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / document).read_text(), re.DOTALL)
    code = "\n".join(blocks).replace("GOWT1", "nuclei2d").replace("shard-003", "shard-000")
    names = {}
    exec(compile(code, document, "exec"), names)
    if "labels" in names:
        image = names.get("image") if document == "README.md" else names["counts"]
        assert image.shape == names["labels"].shape and names["labels"].max() == len(names["cells"])
