"""What holds for all formats: complete or absent, nothing overwritten, and messages instead of tracebacks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cellcascade.cli import main
from cellcascade.config.formats import Formats
from cellcascade.core.errors import InputError
from cellcascade.exports import stage
from cellcascade.exports.registry import WRITERS, find_format
from cellcascade.exports.stage import export, export_images
from tests.memory import extra_mb
from tests.synthetic import scattered, write_set


def test_every_format_of_the_configuration_has_its_module():
    assert set(WRITERS) == set(Formats.model_fields)


def test_the_command_prints_what_to_run_and_the_folder_keeps_it(flat, tmp_path, capsys):
    assert main(["export", "cellpose", str(flat.folder), str(tmp_path / "out"), "--set", "min_masks=4"]) == 0
    said, kept = capsys.readouterr().out, (tmp_path / "out/TRAIN.md").read_text()
    assert "python -m cellpose --train --dir train --test_dir test --min_train_masks 4" in said
    assert "--min_train_masks 4" in kept and "min_masks: 4" in kept and "img-00000" in kept


def test_the_stage_takes_the_block_of_the_configuration(flat, tmp_path):
    block = Formats().pairs.model_dump(mode="json")
    export_images(images=flat.folder, form="pairs", settings=block, folder=tmp_path / "pairs")
    assert len(list((tmp_path / "pairs").glob("*.tif"))) == 12


@pytest.mark.parametrize(
    "arguments, said",
    (
        (["napari"], "There is no such format"),
        (["pairs", "--set", "colour=red"], "colour: Extra inputs are not permitted"),
        (["cellpose", "--set", "min_masks=none"], "min_masks: Input should be a valid integer"),
        (["cellpose", "--set", "min_masks"], "min_masks: Input should be a valid integer"),
    ),
)
def test_unknown_formats_and_settings_are_named(flat, tmp_path, capsys, arguments, said):
    form, *options = arguments
    assert main(["export", form, str(flat.folder), str(tmp_path / "out"), *options]) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left_alone(flat, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["export", "pairs", str(flat.folder), str(tmp_path / "out")]) == 0  # an empty one will do
    before = sorted((tmp_path / "out").iterdir())
    assert main(["export", "ctc", str(flat.folder), str(tmp_path / "out")]) == 1
    assert "a folder that is not empty" in capsys.readouterr().err
    assert sorted((tmp_path / "out").iterdir()) == before


def test_other_places_are_refused(flat, tmp_path):
    (tmp_path / "file").write_text("mine")
    pairs = find_format("pairs", {})
    for place, said in ((flat.folder / "out", "within the folder of the images"), (tmp_path / "file", "a file")):
        with pytest.raises(InputError, match="would overwrite") as caught:
            export(flat.folder, pairs, place)
        assert said in caught.value.found
    with pytest.raises(InputError, match="cannot be written"):
        export(flat.folder, pairs, tmp_path / "file/out")


def test_what_comes_meanwhile_is_not_replaced(flat, tmp_path, monkeypatch):
    write, out = WRITERS["pairs"], tmp_path / "out"

    def slow(*arguments):
        out.mkdir()
        (out / "other").write_text("of someone else")
        return write(*arguments)

    monkeypatch.setitem(WRITERS, "pairs", slow)
    with pytest.raises(InputError, match="would overwrite"):
        export(flat.folder, find_format("pairs", {}), out)
    assert [path.name for path in out.iterdir()] == ["other"] and list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_named_and_leaves_nothing(flat, tmp_path, monkeypatch):
    def fill(source, folder, settings):
        (folder / "half.tif").write_bytes(b"half")
        with open("/dev/full", "wb") as file:
            file.write(b"x" * 100_000)

    monkeypatch.setitem(WRITERS, "pairs", fill)
    with pytest.raises(InputError, match="The disk is full"):
        export(flat.folder, find_format("pairs", {}), tmp_path / "out")
    assert not list(tmp_path.iterdir())


# An export that waits before it is complete, so that it can be killed.
WAITS = """
import sys, time
from cellcascade.cli import main
from cellcascade.exports.registry import WRITERS

write = WRITERS["pairs"]

def wait(*arguments):
    done = write(*arguments)
    print("written", flush=True)
    time.sleep(600)
    return done

WRITERS["pairs"] = wait
sys.exit(main(["export", "pairs", *sys.argv[1:]]))
"""


def test_after_a_kill_nothing_is_half_written_and_the_same_command_begins_anew(flat, tmp_path, capsys):
    out = tmp_path / "out"
    for number in (signal.SIGTERM, signal.SIGKILL):
        command = [sys.executable, "-c", WAITS, str(flat.folder), str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "written\n" and len(stage.leftovers(out)) == 1
            process.send_signal(number)
        assert process.returncode != 0 and not out.exists()
    assert len(stage.leftovers(out)) == 1  # of SIGKILL, which no program hears
    assert main(["export", "pairs", str(flat.folder), str(out)]) == 0
    assert len(list(out.glob("*.tif"))) == 12 and not capsys.readouterr().err
    assert not stage.leftovers(out) and list(tmp_path.iterdir()) == [out]


def test_what_another_export_is_at_work_on_is_left_to_it(flat, tmp_path, capsys):
    out = tmp_path / "out"
    command = [sys.executable, "-c", WAITS, str(flat.folder), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        assert main(["export", "pairs", str(flat.folder), str(out)]) == 0
        (left,) = stage.leftovers(out)
        assert str(left) in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
    assert not stage.leftovers(out) and len(list(out.glob("*.tif"))) == 12


def every_format(images: Path, folder: Path) -> None:
    for form in WRITERS:
        export(images, find_format(form, {}), folder / form)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    pairs, needed = [scattered((512, 512), 12)], {}
    for copies in (2, 12):
        images = write_set(tmp_path / f"{copies}/synthetic", pairs, copies=copies)
        needed[copies] = extra_mb(every_format, images, tmp_path / f"{copies}/exports")
    held = 10 * 2 * pairs[0][0].nbytes / 2**20
    assert needed[12] - needed[2] < held / 2
