"""Command line: what the configuration may hold, whether it and its data are sound, SEG, exports, interrupted runs.

cellcascade init FOLDER               a configuration for a folder of images and masks: --out mine.yaml
cellcascade fit FOLDER                the same, and then its images: --out OUT
cellcascade check config.yaml         the data and this machine, before anything runs; later files override earlier ones
cellcascade download CE               fetches and unpacks a data set
cellcascade preview IMAGES            a contact sheet of synthetic images
cellcascade export FORMAT IMAGES OUT  synthetic images for Cellpose, StarDist, nnU-Net and others
cellcascade instances CLASSES OUT     cells of what nnU-Net predicted
cellcascade seg 01_GT 01_RES          SEG of a segmentation, as the Cell Tracking Challenge defines it
cellcascade recover                   the state of an interrupted run, unlocked and tidied, and how to go on
cellcascade schema                    JSON schema of config.yaml, for editors
cellcascade reference                 docs/configuration.md
cellcascade defaults                  writes the defaults into config.yaml
cellcascade stores                    docs/stores.md
cellcascade troubleshooting           docs/troubleshooting.md

Each command imports what it needs when it runs, so that `cellcascade --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cellcascade import __version__
from cellcascade.core.errors import InputError
from cellcascade.exports.commands import add_commands

DEFAULTS_DESCRIPTION = (
    "Write the package's defaults, with their comments, between the two lines of config.yaml that mark them. Values "
    "that were changed there are reset; the rest of the file stays as it is."
)
SEG_DESCRIPTION = (
    "Print SEG of a segmentation, as the Cell Tracking Challenge defines it: for every reference object of every "
    "annotation file the IoU with the object that covers more than half of it, 0 if there is none; the mean over all "
    "reference objects. For 2D, 3D and sparse 3D gold truth, where the result is cut at the annotated slice."
)

INIT_DESCRIPTION = (
    "Look at a folder of images and masks, say what was found, and write a short configuration that holds this data "
    "set alone, with settings that fit its cells and this machine. The data set is named after the file."
)
FIT_DESCRIPTION = (
    "Make annotated synthetic images of the cells in a folder of images and masks: look at it as `init` does, check "
    "it, and run the workflow. The same command again goes on where it was stopped; changes of OUT/mine.yaml count."
)
RECOVER_DESCRIPTION = (
    "After a run was killed, or its machine restarted: say how far it came, which of its jobs go on without it, which "
    "files and trainings are unfinished; unlock the folder, remove temporary files, and print the command that goes "
    "on. Nothing is touched while a run is at work."
)
PREVIEW_DESCRIPTION = (
    "Draw some of the synthetic images of a folder as a PNG file, each as it is and with its labels in colour; of "
    "stacks three orthogonal planes."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return given.run(given)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except (
        BrokenPipeError
    ):  # what reads the output has seen enough, as `head` does; Python flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellcascade", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_documents(commands)
    _add_starting(commands)
    _add_results(commands)
    return parser


def _add_documents(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Commands that write what the package says of itself."""
    schema = commands.add_parser("schema", help="print the JSON schema of config.yaml")
    schema.set_defaults(run=_run_schema)
    reference = commands.add_parser("reference", help="print docs/configuration.md")
    reference.set_defaults(run=_run_reference)
    writing = commands.add_parser(
        "defaults", help="write the defaults into config.yaml", description=DEFAULTS_DESCRIPTION
    )
    writing.add_argument("config", nargs="?", default="config.yaml", type=Path, help="the file (default: config.yaml)")
    writing.set_defaults(run=_run_defaults)
    stores = commands.add_parser("stores", help="print docs/stores.md")
    stores.set_defaults(run=_run_stores)
    troubles = commands.add_parser("troubleshooting", help="print docs/troubleshooting.md")
    troubles.set_defaults(run=_run_troubleshooting)


def _add_starting(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Commands from data to images."""
    fetching = commands.add_parser("download", help="fetch and unpack a data set that the configuration names")
    fetching.add_argument("name", help="a data set of the configuration, or its folder, e.g. Fluo-N2DL-HeLa")
    fetching.add_argument("--archive", help="address or path of its zip archive (default: the configuration's)")
    fetching.add_argument("--config", nargs="+", default=["config.yaml"], help="YAML files (default: config.yaml)")
    fetching.set_defaults(run=_run_download)
    checking = commands.add_parser("check", help="check configuration files, the data they name, and this machine")
    checking.add_argument("config", nargs="+", type=Path, help="YAML files; later ones override earlier ones")
    checking.add_argument("--profile", type=Path, help="profile of the cluster that jobs will be sent to, e.g. slurm")
    checking.set_defaults(run=_run_check)
    starting = commands.add_parser(
        "init", help="write a configuration for images and masks", description=INIT_DESCRIPTION
    )
    starting.add_argument("folder", type=Path, help="folder of images and masks, or a zip archive of it")
    starting.add_argument("--out", type=Path, default=Path("mine.yaml"), help="YAML file to write (default: mine.yaml)")
    _add_choices(starting)
    starting.set_defaults(run=_run_init)
    fitting = commands.add_parser("fit", help="from images and masks to synthetic images", description=FIT_DESCRIPTION)
    fitting.add_argument("folder", type=Path, help="folder of images and masks, or a zip archive of it")
    fitting.add_argument("--out", type=Path, required=True, help="folder for the configuration and all results")
    fitting.add_argument(
        "--for", dest="formats", nargs="+", default=[], metavar="FORMAT", help="formats to export to, e.g. cellpose"
    )
    fitting.add_argument("--cores", type=_count, help="processor cores to use (default: all of this machine)")
    _add_choices(fitting)
    fitting.set_defaults(run=_run_fit)


def _count(text: str) -> int:
    """A number of things that there are, of an option."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def _add_results(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Commands on results."""
    scoring = commands.add_parser("seg", help="print SEG of a segmentation", description=SEG_DESCRIPTION)
    scoring.add_argument("reference", help="folder with SEG/man_segTTT.tif or SEG/man_seg_TTT_ZZZ.tif: 01_GT or 01_ST")
    scoring.add_argument("result", help="folder with maskTTT.tif: 01_RES")
    scoring.set_defaults(run=_run_seg)
    add_commands(commands)
    looking = commands.add_parser(
        "preview", help="draw a contact sheet of synthetic images", description=PREVIEW_DESCRIPTION
    )
    looking.add_argument("images", type=Path, help="folder of synthetic images: results/DATASET/synthetic")
    looking.add_argument("--out", type=Path, help="the picture (default: preview.png beside the folder)")
    looking.add_argument("--count", type=int, default=12, help="images to show, at most (default: 12)")
    looking.add_argument("--napari", action="store_true", help="open them in napari too")
    looking.set_defaults(run=_run_preview)
    recovering = commands.add_parser(
        "recover", help="bring an interrupted run into a state that goes on", description=RECOVER_DESCRIPTION
    )
    recovering.add_argument("folder", nargs="?", default=".", type=Path, help="folder of the run (default: this one)")
    recovering.add_argument("--cancel", action="store_true", help="end the jobs that go on without their run")
    recovering.add_argument("--dry-run", "-n", action="store_true", help="only look")
    recovering.set_defaults(run=_run_recover)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """Options about what of the files is read."""
    sizes = "size of a pixel, micrometres: y x, or z y x for stacks (default: as the files say, or else a guess)"
    parser.add_argument("--voxel-size", type=float, nargs="+", metavar="UM", help=sizes)
    channel = "channel with the cells, from 0 (default: the one in which cells and background differ most)"
    parser.add_argument("--channel", type=int, help=channel)
    ignored = "number in the masks that marks what nobody annotated, e.g. -1 (default: all is annotated)"
    parser.add_argument("--ignore-label", type=int, metavar="N", help=ignored)


def _run_schema(given: argparse.Namespace) -> int:
    import json

    from cellcascade.config.document import config_schema

    print(json.dumps(config_schema(), indent=2))
    return 0


def _run_reference(given: argparse.Namespace) -> int:
    from cellcascade.config.document import reference

    print(reference(), end="")
    return 0


def _run_defaults(given: argparse.Namespace) -> int:
    from cellcascade.config.document import with_defaults
    from cellcascade.config.load import read_text
    from cellcascade.core.files import atomic_path

    text = with_defaults(read_text(given.config), given.config)
    with atomic_path(given.config) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return 0


def _run_stores(given: argparse.Namespace) -> int:
    from cellcascade.data.store_document import document

    print(document(), end="")
    return 0


def _run_troubleshooting(given: argparse.Namespace) -> int:
    from cellcascade.checks.document import document

    print(document(), end="")
    return 0


def _run_download(given: argparse.Namespace) -> int:
    from cellcascade.config.load import read_config
    from cellcascade.core.logs import start_log
    from cellcascade.data.download import archive_of, download_data

    start_log()
    download_data(archives=[archive_of(read_config(*given.config), given.name, given.archive)])
    return 0


def _run_check(given: argparse.Namespace) -> int:
    from cellcascade.checks.project import check_project
    from cellcascade.config.load import read_config

    for line in check_project(read_config(*given.config), given.config, given.profile, Path()):
        print(line, flush=True)
    return 0


def _run_init(given: argparse.Namespace) -> int:
    from cellcascade.intake.starting import start

    for line in start(given.folder, given.out, given.voxel_size, given.channel, given.ignore_label):
        print(line, flush=True)
    return 0


def _run_fit(given: argparse.Namespace) -> int:
    from contextlib import chdir
    from dataclasses import replace

    from cellcascade.core.machine import this_machine
    from cellcascade.exports.registry import find_format
    from cellcascade.exports.stage import HOW_TO
    from cellcascade.intake.running import export_of, images_of, page_of, run_workflow, workflow_folder
    from cellcascade.intake.starting import start

    for each in given.formats:
        find_format(each, {})
    workflow, folder, config, name = workflow_folder(), given.folder.resolve(), Path("mine.yaml"), "mine"
    given.out.mkdir(parents=True, exist_ok=True)
    with chdir(given.out):
        if config.exists():
            print(f"{given.out / config} is used as it is; delete it to have {given.folder} looked at again")
        else:
            print("\n".join(start(folder, config, given.voxel_size, given.channel, given.ignore_label)), flush=True)
        here = this_machine(Path())
        machine = replace(here, cores=given.cores or here.cores)
        status = run_workflow(workflow, config, name, machine, given.formats)
    if status == 0:
        print(f"\nimages with labels:     {given.out / images_of(name)}")
        print(f"beside the real frames: {given.out / page_of(name)}")
        for each in given.formats:
            print(f"how to train {each}: {given.out / export_of(name, each) / HOW_TO}")
    return status


def _run_seg(given: argparse.Namespace) -> int:
    from cellcascade.metrics.seg import annotation_pairs, score

    print(f"SEG measure: {score(annotation_pairs(given.reference, given.result)).seg:.6f}")
    return 0


def _run_preview(given: argparse.Namespace) -> int:
    from cellcascade.data.synthetic import open_synthetic
    from cellcascade.report.preview import write_contact_sheet

    source, png = open_synthetic(given.images), given.out or given.images.resolve().parent / "preview.png"
    count = max(1, given.count)
    print(f"{png}: {write_contact_sheet(source, png, count=count)} of {len(source.images)} images")
    if given.napari:
        from cellcascade.report.viewer import open_in_napari

        open_in_napari(source, count=count)
    return 0


def _run_recover(given: argparse.Namespace) -> int:
    from cellcascade.core.recovery import recover

    for line in recover(given.folder, cancel=given.cancel, dry_run=given.dry_run):
        print(line, flush=True)
    return 0
