import csv

import numpy as np
import pytest
import yaml
from PIL import Image


def rows_of(folder, part) -> list[dict[str, str]]:
    with (folder / part / "metadata.csv").open() as file:
        return [{**row, "part": part} for row in csv.DictReader(file)]


@pytest.mark.parametrize("ndim", (2, 3))
def test_every_row_has_its_image_and_its_labels(flat, stacks, exported, ndim):
    source = flat if ndim == 2 else stacks
    folder, _ = exported("hub", source)
    rows = rows_of(folder, "train") + rows_of(folder, "validation")
    images = {image.name: image for image in source.images}
    assert len(rows) == (6 if ndim == 2 else 3 * 10)
    for row in rows:
        which = int(row["z"]) if ndim == 3 else ...
        image, place = images[row["name"]], folder / row["part"]
        labels = image.labels()[which]
        assert np.array_equal(np.asarray(Image.open(place / row["file_name"])), image.counts()[which])
        assert np.array_equal(np.asarray(Image.open(place / row["mask_file_name"])), labels)
        assert int(row["cells"]) == len(np.unique(labels[labels > 0]))


def test_the_card_states_licence_provenance_and_numbers(flat, exported):
    folder, done = exported("hub", flat, license="cc0-1.0", source="BBBC038")
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["license"] == "cc0-1.0" and facts["size_categories"] == ["n<1K"]
    cells = sum(image.cells for image in flat.images)
    for part in (f"{cells} cells", "BBBC038", "cellcascade 1.2.3", "96 × 112 pixels", "0.5 × 0.5 µm", "Seed 7"):
        assert part in text
    assert not [note for note in done.notes if "does not say" in note]


def test_a_card_without_licence_says_so(flat, exported):
    _, done = exported("hub", flat)
    assert "does not say the license and the source" in " ".join(done.notes)
