from pathlib import Path

import numpy as np
import pytest

import cellcascade
from cellcascade.core.errors import InputError
from cellcascade.core.files import digest
from cellcascade.core.stages import STAGE_VERSIONS
from cellcascade.data import stores
from cellcascade.data.shards import Array, Record, Schema, check_invalid, digests_of, shard_name, shard_ranges
from tests.stores import write_store


@pytest.mark.parametrize(
    "total, size, expected", [(60, 25, [(0, 25), (25, 50), (50, 60)]), (50, 25, [(0, 25), (25, 50)])]
)
def test_ranges_cover_all_items_once(total, size, expected):
    assert shard_ranges(total, size) == expected


def test_growing_keeps_the_full_ranges():
    assert shard_ranges(1000, 25)[: 40 // 25] == shard_ranges(40, 25)[: 40 // 25]


def test_names_sort_as_numbers():
    names = [shard_name(index) for index in (0, 7, 10, 999)]
    assert names == sorted(names) and names[0] == "000"


class CountRecord(Record):
    stage_version: int = 3
    count: int


TOY = Schema("toy/1", {"mask": Array("n y x", "uint8"), "cell_id": Array("n", "int64 int32")}, CountRecord, 2)
ARRAYS = {"mask": np.arange(24, dtype=np.uint8).reshape(3, 2, 4), "cell_id": np.array([4, 5, 6])}


def write(path, arrays=ARRAYS, **facts):
    TOY.write(
        path, arrays, CountRecord(**{"dataset": "A", "seed": 7, "count": 5, "digests": {"x/a.tif": "1f"}} | facts)
    )
    return path


def test_arrays_and_record_come_back(tmp_path):
    path = write(tmp_path / "deep/shard-000.zarr.zip")
    store = TOY.open(path)
    for name, array in ARRAYS.items():
        assert store[name].dtype == array.dtype
        np.testing.assert_array_equal(store[name], array)
        np.testing.assert_array_equal(store.read(name, 1), array[1])
    assert store.record == CountRecord(dataset="A", seed=7, count=5, digests={"x/a.tif": "1f"}) and store.path == path
    assert store.record.package_version == cellcascade.__version__ and store.record.stage_version == 3
    assert store.group["mask"].chunks == (2, 2, 4)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_equal_content_gives_equal_bytes(tmp_path):
    assert digest(write(tmp_path / "a.zarr.zip")) == digest(write(tmp_path / "b.zarr.zip"))


def test_stores_without_items_can_be_written(tmp_path):
    arrays = {"mask": np.zeros((0, 2, 4), np.uint8), "cell_id": np.zeros(0, np.int32)}
    assert TOY.open(write(tmp_path / "e.zarr.zip", arrays))["mask"].shape == (0, 2, 4)


@pytest.mark.parametrize(
    ("arrays", "flaw"),
    [
        ({"mask": ARRAYS["mask"]}, "cell_id"),
        (ARRAYS | {"more": np.zeros(3)}, "more"),
        (ARRAYS | {"mask": ARRAYS["mask"][0]}, r"mask: shape \(2, 4\), not \(n, y, x\)"),
        (ARRAYS | {"mask": ARRAYS["mask"].astype(float)}, "mask: type float64, not uint8"),
        (ARRAYS | {"cell_id": np.array([4, 5])}, r"arrays of \[2, 3\] items"),
    ],
)
def test_arrays_that_are_not_those_of_the_schema_are_not_written(tmp_path, arrays, flaw):
    with pytest.raises(ValueError, match=flaw):
        write(tmp_path / "s.zarr.zip", arrays)
    assert not list(tmp_path.iterdir())


RECORD = CountRecord(dataset="A", seed=7, count=5, digests={"x/a.tif": "1f"})


@pytest.mark.parametrize("pieces", [[3], [1, 2], [2, 1], [1, 0, 1, 1], [7], [1, 1, 5], [5, 2], [0, 6, 1]])
def test_a_store_that_is_written_in_pieces_has_the_bytes_of_the_whole(tmp_path, pieces):
    generator, total = np.random.default_rng(0), sum(pieces)
    arrays = {"mask": generator.integers(0, 9, (total, 2, 4)).astype(np.uint8), "cell_id": np.arange(total)}
    with TOY.writer(tmp_path / "pieces.zarr.zip") as writer:
        for start, count in zip(np.cumsum([0, *pieces]), pieces):
            writer.append({name: array[start : start + count] for name, array in arrays.items()})
        writer.finish(RECORD)
    assert digest(tmp_path / "pieces.zarr.zip") == digest(write(tmp_path / "whole.zarr.zip", arrays))


def test_whole_chunks_are_written_at_once(tmp_path):
    with TOY.writer(tmp_path / "s.zarr.zip") as writer:
        for _ in range(3):
            writer.append(ARRAYS)
        assert len(list(tmp_path.rglob("mask/c/*/0/0"))) == 4, "of nine items, in chunks of two"
        writer.finish(RECORD)


@pytest.mark.parametrize("fault", ["unfinished", "raised", "wrong", "other type"])
def test_a_store_in_pieces_is_there_whole_or_not_at_all(tmp_path, fault):
    def faulty() -> None:
        with TOY.writer(tmp_path / "s.zarr.zip") as writer:
            writer.append(ARRAYS)
            if fault == "raised":
                raise ValueError("raised")
            if fault == "wrong":
                writer.append({"mask": ARRAYS["mask"]})
            if fault == "other type":
                writer.append(ARRAYS | {"cell_id": ARRAYS["cell_id"].astype(np.int32)})
                writer.finish(RECORD)

    with pytest.raises(ValueError, match={"unfinished": "not finished", "raised": "raised"}.get(fault, "cell_id")):
        faulty()
    assert not list(tmp_path.iterdir())


def test_a_closed_store_holds_no_file_until_it_is_read_again(tmp_path):
    store, held = TOY.open(write(tmp_path / "s.zarr.zip")), Path("/proc/self/fd")
    for _ in range(2):
        assert store["cell_id"].tolist() == [4, 5, 6]
        assert [path for path in held.iterdir() if path.resolve() == store.path]
        store.close()
        assert not [path for path in held.iterdir() if path.resolve() == store.path]


@pytest.mark.parametrize("content", [None, b"", b"no zip", "cut"])
def test_what_is_no_store_is_named(tmp_path, content):
    path = tmp_path / "s.zarr.zip"
    if content == "cut":
        path.write_bytes(write(path).read_bytes()[:-40])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="s.zarr.zip") as caught:
        TOY.open(path)
    assert "delete" in caught.value.fix


def test_a_store_of_another_kind_or_without_its_record_is_named(tmp_path):
    with pytest.raises(InputError, match="toy/1") as caught:
        stores.VOLUMES.open(write(tmp_path / "s.zarr.zip"))
    assert stores.VOLUMES.tag in caught.value.expected
    less = Schema("toy/1", TOY.arrays, Record)
    less.write(tmp_path / "less.zarr.zip", ARRAYS, Record(dataset="A", seed=0, stage_version=1, digests={}))
    with pytest.raises(InputError, match="count: Field required"):
        TOY.open(tmp_path / "less.zarr.zip")


def test_a_damaged_array_is_named_when_it_is_read(tmp_path):
    path, generator = tmp_path / "s.zarr.zip", np.random.default_rng(0)
    write(path, {"mask": generator.integers(0, 255, (3, 200, 4)).astype(np.uint8), "cell_id": np.arange(3)})
    content = bytearray(path.read_bytes())
    place = content.index(b"mask/c/0/0/0") + 200
    content[place : place + 400] = bytes(400)
    path.write_bytes(content)
    store = TOY.open(path)
    assert store["cell_id"].tolist() == [0, 1, 2]
    for name in ("mask", "missing"):
        with pytest.raises(InputError, match=name) as caught:
            store[name]
        assert caught.value.where == str(path) and "delete" in caught.value.fix


KINDS = [kind for kind in vars(stores).values() if isinstance(kind, Schema)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.tag)
def test_every_store_says_where_it_comes_from(tmp_path, kind):
    store = kind.open(write_store(kind, tmp_path / "s.zarr.zip", {}, dataset="CE", seed=3, digests={"a/b.csv": "0f"}))
    about = {"dataset": "CE", "seed": 3, "digests": {"a/b.csv": "0f"}, "package_version": cellcascade.__version__}
    assert len(KINDS) == 9 and about.items() <= store.record.model_dump().items()
    assert store.record.stage_version in STAGE_VERSIONS.values()
    assert {name: store[name].dtype.name for name in kind.arrays}.keys() == kind.arrays.keys()


def test_digests_are_named_by_file_and_folder(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.zip").write_text("a")
    assert digests_of([tmp_path / "masks" / "a.zip", None]) == {"masks/a.zip": digest(tmp_path / "masks" / "a.zip")}


def test_too_many_invalid_cells_are_an_error_with_their_reasons():
    check_invalid({3: "empty"}, 5, 0.2, "shard")
    with pytest.raises(InputError, match="2 of 5.*empty.*fragmented"):
        check_invalid({3: "empty", 4: "fragmented"}, 5, 0.2, "shard")
