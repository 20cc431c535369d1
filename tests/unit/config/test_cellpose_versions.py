"""Names tell the version of Cellpose; files are left to `evaluation.cellpose.weights`."""

from cellcascade.config.cellpose_versions import version_named


def test_names_tell_their_version_and_paths_do_not():
    names = ("cpsam", "cpsam_v2", "some/cpsam", "cyto3", "scratch", "./mine")
    assert [version_named(name) for name in names] == [4, 4, 4, 3, 3, None]
