"""docs/stores.md: made from the schemas, and complete."""

from pathlib import Path

import pytest

from cellcascade.data import stores
from cellcascade.data.shards import Record, Schema
from cellcascade.data.store_document import STORES, document

REPOSITORY = Path(__file__).parents[3]


def test_document_is_that_of_the_schemas():
    made = "python -m cellcascade.data.store_document > docs/stores.md"
    assert (REPOSITORY / "docs/stores.md").read_text() == document(), made


def test_every_kind_of_store_is_described():
    kinds = [kind for kind in vars(stores).values() if isinstance(kind, Schema)]
    assert [schema.tag for schema, _ in STORES] == [kind.tag for kind in kinds]


@pytest.mark.parametrize("schema, words", STORES, ids=[schema.tag for schema, _ in STORES])
def test_every_array_and_fact_has_a_meaning_and_nothing_else_has(schema, words):
    assert words.arrays.keys() == schema.arrays.keys()
    assert words.facts.keys() == schema.record.model_fields.keys() - Record.model_fields.keys()


def test_axes_and_types_are_those_of_the_schemas():
    text = document()
    assert "| `image` | (n, s, y, x) | uint16 | counts" in text
    assert "| `mask` | (n, [z,] y, x) | uint16 or uint32 | labels" in text
    assert "- `redraws` (whole number): number of flawed samples" in text
    assert "- `window` (2 values): counts that become black and white" in text
