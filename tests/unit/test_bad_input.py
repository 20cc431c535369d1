"""Bad input of many kinds, each given to a command as a user gives it: a message with its cure, never a traceback."""

import re

import numpy as np
import pytest

from cellcascade.cli import main
from tests.unit.bad_input import (
    CHECK,
    IMAGE,
    INIT,
    MASK,
    MINE,
    Bad,
    and_then,
    anew,
    archive,
    cellpose,
    challenge,
    colour_mask,
    cut,
    entry,
    file,
    films,
    image,
    images,
    mask,
    masks,
    nnunet_of,
    nothing,
    product,
    renamed,
    sound,
    text,
    zarrs,
)
from tests.unit.data.layouts.writing import write

FOLDERS = [
    Bad("no such folder", nothing, ("init", "Nowhere", "--out", "new.yaml"), "There is no such folder"),
    Bad("no such place", nothing, ("init", "no/such/place", "--out", "new.yaml"), "not even"),
    Bad("an empty folder", anew(MINE.mkdir), INIT, "an empty folder"),
    Bad("notes alone", anew(file("Mine/notes.txt")), INIT, "notes.txt"),
    Bad("images without masks", renamed(MINE / "masks", MINE.parent / "elsewhere"), INIT, "No frames with annotations"),
    Bad("masks without an image", lambda: IMAGE.unlink(), INIT, "3 images and 4 masks"),
    Bad("files of no format", anew(file("Mine/images/a.lif")), INIT, "images are .tif"),
    Bad(
        "two masks of one frame",
        and_then(cellpose, file("Mine/well_0_masks.tif"), file("Mine/well_0_label.tif")),
        INIT,
        "two annotations",
    ),
    Bad(
        "a file in place of a folder",
        file("Mine.txt"),
        ("init", "Mine.txt", "--out", "new.yaml"),
        "An archive cannot be unpacked",
    ),
    Bad("a configuration that is there", nothing, ("init", "Mine", "--out", "mine.yaml"), "is there already"),
    Bad("a folder as configuration", nothing, ("init", "Mine", "--out", "Mine"), "is there already"),
    Bad(
        "a file as folder of the configuration",
        nothing,
        ("init", "Mine", "--out", "mine.yaml/a.yaml"),
        "cannot be written",
    ),
    Bad("no size of a pixel", nothing, (*INIT, "--voxel-size", "0", "1"), "numbers above 0"),
    Bad("too many axes", nothing, (*INIT, "--voxel-size", "1", "1", "1", "1"), "z, y and x"),
    Bad("sizes of stacks for planes", nothing, (*INIT, "--voxel-size", "1", "1", "1"), "declared 3D"),
    Bad("pixels that are no squares", nothing, (*INIT, "--voxel-size", "0.2", "0.9"), "square pixels"),
    Bad("no such channel", nothing, (*INIT, "--channel", "7"), "does not have the channel"),
    Bad("nnU-Net of medical images", anew(nnunet_of(".nii.gz")), INIT, "convert frames and labels to TIFF"),
    Bad("an archive that is none", and_then(lambda: file("Mine.zip")()), INIT, "An archive cannot be unpacked"),
    Bad(
        "half an archive", and_then(archive("images/a.tif"), cut(MINE.with_suffix(".zip"))), INIT, "cannot be unpacked"
    ),
    Bad("a damaged archive", and_then(archive("images/a.tif", damage=20)), INIT, "cannot be unpacked"),
    Bad("an archive of other places", and_then(archive("../a.tif")), INIT, "written elsewhere"),
    Bad("an archive of nothing", and_then(archive()), INIT, "an empty folder"),
]

PIXELS = [
    Bad("an empty file", file(str(IMAGE), b""), INIT, "A TIFF file cannot be read"),
    Bad("text as TIFF", file(str(IMAGE)), INIT, "A TIFF file cannot be read"),
    Bad("half a frame", cut(IMAGE), INIT, "cannot be read"),
    Bad("half a mask", cut(MASK), INIT, "cannot be read"),
    Bad(
        "a broken picture",
        anew(lambda: [file(f"Mine/{n}")() for n in ("images/a.png", "masks/a.png")]),
        INIT,
        "A picture cannot be read",
    ),
    Bad("counts that are real numbers", images(lambda a: a / np.float32(255)), INIT, "camera counts"),
    Bad("counts below 0", images(lambda a: a.astype(np.int16) - 300), INIT, "camera counts"),
    Bad("frames of two types", image(lambda a: a.astype(np.uint16)), INIT, "differs from the first one"),
    Bad("frames of floats among others", image(lambda a: a.astype(np.float32)), INIT, "(96, 112), float32"),
    Bad("a frame of another shape", image(lambda a: a[:50]), INIT, "differ in shape"),
    Bad("a transposed mask", mask(lambda a: a.T.copy()), INIT, "differ in shape"),
    Bad("masks of real numbers", mask(lambda a: a * np.float32(0.3)), INIT, "whole numbers"),
    Bad("coloured masks", colour_mask, INIT, "colour"),
    Bad("masks below 0", mask(lambda a: a.astype(np.int16) - 1), INIT, "ignore_label: -1"),
    Bad("more cells than numbers", mask(lambda a: a.astype(np.int32) * 70000), INIT, "1 to 65535"),
    Bad("masks of nothing", masks(np.zeros_like), INIT, "No cell is annotated"),
    Bad("a stack for a plane", image(lambda a: np.stack([a, a, a, a, a])), INIT, "of 5 planes"),
    Bad("a film with fewer masks", anew(films(3)), INIT, "number of time points"),
    Bad(
        "an OME-Zarr with broken metadata",
        and_then(zarrs, file("Mine/img0.ome.zarr/.zattrs", b"{]")),
        INIT,
        "An OME-Zarr cannot be read",
    ),
    Bad(
        "an OME-Zarr without its array",
        and_then(zarrs, file("Mine/img0.ome.zarr/s0/.zarray", b"3")),
        INIT,
        "An OME-Zarr cannot be read",
    ),
    Bad(
        "OME-Zarr labels without their array",
        and_then(zarrs, file("Mine/img0.ome.zarr/labels/nuclei/s0/.zarray", b"")),
        INIT,
        "An OME-Zarr cannot be read",
    ),
    Bad(
        "an OME-Zarr whose metadata are a list",
        and_then(zarrs, file("Mine/img0.ome.zarr/.zattrs", b"[1]")),
        INIT,
        "An OME-Zarr cannot be read",
    ),
    Bad(
        "another array as _seg.npy",
        and_then(cellpose, lambda: np.save(MINE / "well_0_seg.npy", np.eye(3))),
        INIT,
        "Masks of Cellpose cannot be read",
    ),
    Bad("half a _seg.npy", and_then(cellpose, cut(MINE / "well_0_seg.npy")), INIT, "Masks of Cellpose cannot be read"),
    Bad(
        "a _seg.npy without masks",
        and_then(cellpose, lambda: np.save(MINE / "well_0_seg.npy", {"outlines": 1})),
        INIT,
        "Masks of Cellpose cannot be read",
    ),
    Bad(
        "an annotation without a frame",
        and_then(challenge, lambda: (MINE / "01/t001.tif").unlink()),
        INIT,
        "An annotation has no frame",
    ),
    Bad(
        "frames of one number",
        and_then(challenge, lambda: write(MINE / "01/t0001.png", np.eye(9, dtype=np.uint8))),
        INIT,
        "same number",
    ),
    Bad(
        "a sequence without annotations",
        and_then(challenge, lambda: [path.unlink() for path in (MINE / "01_GT/SEG").iterdir()]),
        INIT,
        "has an annotation",
    ),
    Bad(
        "a slice that is not there",
        and_then(challenge, renamed(MINE / "01_GT/SEG/man_seg001.tif", MINE / "01_GT/SEG/man_seg_001_040.tif")),
        INIT,
        "man_seg_001_040.tif",
    ),
]

SETTINGS = [
    Bad("no such configuration", nothing, ("check", "other.yaml"), "No such file"),
    Bad("a folder as configuration", nothing, ("check", "Mine"), "cannot be read"),
    Bad("YAML that does not end", text("datasets: ["), CHECK, "line 1"),
    Bad("tabs in YAML", text("datasets:\n\tmine: 1\n"), CHECK, "line 2"),
    Bad("a list as configuration", text("- datasets"), CHECK, "a YAML file with keys"),
    Bad("pixels as configuration", text(b"\x89PNG\xff\xfe"), CHECK, "no text"),
    Bad(
        "two data sets of one name", text("datasets:\n  a: {folder: A}\n  a: {folder: B}\n"), CHECK, "a is there twice"
    ),
    Bad("a day that is none", text("run: 2024-13-45\n"), CHECK, "month must be in"),
    Bad("lists as keys", text("[a, b]: 1\n[a, b]: 2\n"), CHECK, "cannot be read"),
    Bad("blocks in blocks", text("[" * 5000), CHECK, "cannot be read"),
    Bad("an empty configuration", text(""), CHECK, "datasets: must be a block"),
    Bad("a misspelled key", entry("crop: {size: 64}"), CHECK, "datasets.mine.crop: unknown key"),
    Bad("a word for a number", entry("cells: many"), CHECK, "datasets.mine.cells"),
    Bad("no folder", entry("voxel_size_um: [1, 1]"), CHECK, "datasets.mine.folder: is required"),
    Bad("no size of a pixel", entry("folder: Mine"), CHECK, "voxel_size_um: is required"),
    Bad("four axes", entry("folder: Mine, voxel_size_um: [1, 1, 1, 1]"), CHECK, "voxel_size_um"),
    Bad("a size below 0", entry("folder: Mine, voxel_size_um: [-1, 1]"), CHECK, "greater than 0"),
    Bad("planes as stacks", entry("folder: Mine, voxel_size_um: [1, 1, 1]"), CHECK, "declared 3D"),
    Bad("a folder that is not there", entry("folder: Other, voxel_size_um: [1, 1]"), CHECK, "Other is not there"),
    Bad("a share of all", entry("test_share: 1"), CHECK, "test_share"),
    Bad("more frames than there are", entry("train_frames: 99"), CHECK, "at least 99"),
    Bad("another layout", entry("layout: nnunet"), CHECK, "not of the layout nnunet"),
    Bad("a layout that is none", entry("layout: tiles"), CHECK, "datasets.mine.layout"),
    Bad("no such channel", entry("channel: 4"), CHECK, "does not have the channel"),
    Bad("background as ignored", entry("ignore_label: 0"), CHECK, "0 is background"),
    Bad("an unknown finding is accepted", entry("accept: [everything]"), CHECK, "accepts what is no finding"),
    Bad("crops of no model", entry("folder: Mine, voxel_size_um: [1, 1], crops: {size: 50}"), CHECK, "multiple of 32"),
    Bad(
        "crops that no cell fits into",
        entry("folder: Mine, voxel_size_um: [1, 1], crops: {size: 32, margin: 12}"),
        CHECK,
        "crops.size",
    ),
    Bad("heirs of nobody", entry("inherits: other"), CHECK, "no such data set"),
    Bad("heirs of themselves", entry("inherits: mine"), CHECK, "circle"),
    Bad("data sets that are none", entry("cells: 9", "run: [others]"), CHECK, "run names 'others'"),
    Bad("a base that is not there", entry("texture: {base: ./gone, space: latent}"), CHECK, "no such folder"),
    Bad("a prior that is not there", entry("mask_ddpm: {base: ./gone}"), CHECK, "gone"),
    Bad("a profile that is not there", nothing, (*CHECK, "--profile", "pbs"), "The profile cannot be read"),
    Bad("a mask of one class", masks(lambda a: (a > 0).astype(np.uint8)), CHECK, "split_labels: true"),
    Bad("mirrored masks", masks(lambda a: a[:, ::-1].copy()), CHECK, "Masks do not fit their frames"),
    Bad("blank frames", image(lambda a: np.full_like(a, 9)), CHECK, "Frames are blank"),
]

RESULTS = [
    Bad("a format that is none", nothing, ("export", "yolo", "images", "out"), "There is no such format"),
    Bad("no synthetic images", nothing, ("export", "cellpose", "images", "out"), "images"),
    Bad(
        "images without a table", anew((MINE / "x").parent.mkdir), ("export", "stardist", "Mine", "out"), "manifest.csv"
    ),
    Bad("a table of nothing", product(), ("export", "ctc", "images", "out"), "images"),
    Bad("images that are gone", product(content="path\nimg-00000.ome.zarr\n"), ("preview", "images"), "images"),
    Bad("nothing to show", nothing, ("preview", "images"), "images"),
    Bad("classes that are none", nothing, ("instances", "Mine/images", "out"), "classes"),
    Bad("no reference", nothing, ("seg", "Mine", "Mine/masks"), "SEG"),
    Bad("a run that is none", nothing, ("recover", "nowhere"), "nowhere"),
    Bad("a format to fit for", nothing, ("fit", "Mine", "--out", "out", "--for", "yolo"), "There is no such format"),
    Bad("nothing to fit", nothing, ("fit", "Nowhere", "--out", "out"), "There is no such folder"),
    Bad("a data set without an archive", nothing, ("download", "mine", "--config", "mine.yaml"), "archive"),
    Bad("a data set that is none", nothing, ("download", "other", "--config", "mine.yaml"), "other"),
    Bad(
        "an archive that is not there",
        and_then(nothing),
        ("download", "mine", "--config", "mine.yaml", "--archive", "gone.zip"),
        "no such file",
    ),
    Bad(
        "text as an archive",
        and_then(lambda: file("a.zip")()),
        ("download", "mine", "--config", "mine.yaml", "--archive", "a.zip"),
        "cannot be unpacked",
    ),
    Bad(
        "an archive of damaged members",
        and_then(archive("a.tif", damage=20)),
        ("download", "mine", "--config", "mine.yaml", "--archive", "Mine.zip"),
        "cannot be unpacked",
    ),
    Bad(
        "an archive of other places",
        and_then(archive("../../a.tif")),
        ("download", "mine", "--config", "mine.yaml", "--archive", "Mine.zip"),
        "a.tif",
    ),
    Bad("defaults of no configuration", nothing, ("defaults", "other.yaml"), "cannot be read"),
    Bad("defaults without a place", nothing, ("defaults", "mine.yaml"), "mine.yaml"),
]

EVERY = [*FOLDERS, *PIXELS, *SETTINGS, *RESULTS]


@pytest.mark.parametrize("bad", EVERY, ids=lambda bad: bad.what)
def test_bad_input_is_a_message_with_its_cure(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    sound()
    bad.spoil()
    assert main(bad.command) == 1
    out, error = capsys.readouterr()
    assert bad.said in out + error, out + error
    assert re.search(r"\n    (fix|cure): ", out + error), out + error
    assert not (tmp_path / "new.yaml").exists() and not (tmp_path / "a.tif").exists()


def test_there_are_many_kinds_and_what_they_are_done_to_is_sound(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sound()
    assert len({(bad.what, bad.command[0]) for bad in EVERY}) >= 60
    assert main(INIT) == 0 and main(CHECK) == 0, capsys.readouterr()


@pytest.mark.parametrize("cores", ["0", "-1", "two"])
def test_cores_that_are_none_are_refused_before_anything_else(tmp_path, monkeypatch, capsys, cores):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "Mine", "--out", "out", "--cores", cores])
    assert "--cores" in capsys.readouterr().err and not (tmp_path / "out").exists()
