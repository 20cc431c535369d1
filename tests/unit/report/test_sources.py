"""What a page reads: cells found across shards, tables with their columns."""

from pathlib import Path

import numpy as np
import pytest

from cellcascade.core.errors import InputError
from cellcascade.data.stores import MASKS
from cellcascade.report.images import read_image_tables
from cellcascade.report.sources import open_cells, open_sources, read_table
from cellcascade.report.summary import summary_part
from tests.stores import write_store


def test_cells_are_found_across_shards_in_the_order_of_their_numbers(tmp_path):
    paths = []
    for start in (3, 0):
        mask = np.zeros((3, 4, 4))
        mask[:, 0, 0] = [start == 0, 1, 1]
        arrays = {"mask": mask, "cell_id": start + np.arange(3), "valid": np.array([start == 0, 1, 1])}
        paths.append(write_store(MASKS, tmp_path / f"{start}.zarr.zip", arrays))
    cells = open_cells(paths, MASKS)
    assert list(cells) == [0, 1, 2, 3, 4, 5] and [cell.valid for cell in cells.values()] == [1, 1, 1, 0, 1, 1]
    assert cells[3].read("mask").sum() == 0 and cells[4].read("mask").sum() == 1


def test_sources_hold_what_the_data_set_has(written, ndim):
    sources = open_sources(written[1]["cells"])
    assert sources.widest.tolist() == [0, 2, 3, 4, 5, 6, 7] and sources.pixel_um == 0.5
    assert sources.shown == ([0, 2, 3, 5] if ndim == 3 else [0, 2, 3, 4, 5])
    assert [name for name, cells in sources.stages.items() if cells] == (
        ["masks", "views", "volumes", "slices", "textures"] if ndim == 3 else ["masks", "textures"]
    )
    assert len(sources.stores("masks")) == 2 and list(sources.valid("masks")) == [0, 2, 3, 4, 5]


def test_shards_are_not_held_open(written):
    files, held = written[1]["cells"], Path("/proc/self/fd")
    sources = open_sources(files)
    summary_part(sources, read_image_tables(written[1]["images"].synthetic), None)
    for number in sources.shown:
        assert sources.stages["textures"][number].read("mask").any()
    open_files = {path.resolve() for path in held.iterdir()}
    assert not open_files & set(files.masks + files.views + files.volumes + files.slices + files.textures)


def test_tables_without_a_column_are_named(tmp_path):
    (tmp_path / "some.csv").write_text("a,b\n1,2\n")
    assert read_table(tmp_path / "some.csv", ("a",))["b"].tolist() == [2]
    with pytest.raises(InputError, match="some.csv"):
        read_table(tmp_path / "some.csv", ("a", "missing"))
