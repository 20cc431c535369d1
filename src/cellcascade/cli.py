"""Command line: what the configuration may hold, whether it and its data are sound, SEG, and interrupted runs.

cellcascade schema              JSON schema of config.yaml, for editors
cellcascade reference           docs/configuration.md
cellcascade defaults            writes the defaults into config.yaml
cellcascade stores              docs/stores.md
cellcascade troubleshooting     docs/troubleshooting.md
cellcascade check config.yaml   the data and this machine, before anything runs; later files override earlier ones
cellcascade download CE         fetches and unpacks a data set
cellcascade seg 01_GT 01_RES    SEG of a segmentation, as the Cell Tracking Challenge defines it
cellcascade recover             the state of an interrupted run, unlocked and tidied, and how to go on

Each command imports what it needs when it runs, so that `cellcascade --help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cellcascade import __version__
from cellcascade.core.errors import InputError

DEFAULTS_DESCRIPTION = (
    "Write the package's defaults, with their comments, between the two lines of config.yaml that mark them. Values "
    "that were changed there are reset; the rest of the file stays as it is."
)
SEG_DESCRIPTION = (
    "Print SEG of a segmentation, as the Cell Tracking Challenge defines it: for every reference object of every "
    "annotation file the IoU with the object that covers more than half of it, 0 if there is none; the mean over all "
    "reference objects. For 2D, 3D and sparse 3D gold truth, where the result is cut at the annotated slice."
)

RECOVER_DESCRIPTION = (
    "After a run was killed, or its machine restarted: say how far it came, which of its jobs go on without it, which "
    "files and trainings are unfinished; unlock the folder, remove temporary files, and print the command that goes "
    "on. Nothing is touched while a run is at work."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return given.run(given)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellcascade", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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
    fetching = commands.add_parser("download", help="fetch and unpack a data set that the configuration names")
    fetching.add_argument("name", help="a data set of the configuration, or its folder, e.g. Fluo-N2DL-HeLa")
    fetching.add_argument("--archive", help="address or path of its zip archive (default: the configuration's)")
    fetching.add_argument("--config", nargs="+", default=["config.yaml"], help="YAML files (default: config.yaml)")
    fetching.set_defaults(run=_run_download)
    checking = commands.add_parser("check", help="check configuration files, the data they name, and this machine")
    checking.add_argument("config", nargs="+", type=Path, help="YAML files; later ones override earlier ones")
    checking.add_argument("--profile", type=Path, help="profile of the cluster that jobs will be sent to, e.g. slurm")
    checking.set_defaults(run=_run_check)
    scoring = commands.add_parser("seg", help="print SEG of a segmentation", description=SEG_DESCRIPTION)
    scoring.add_argument("reference", help="folder with SEG/man_segTTT.tif or SEG/man_seg_TTT_ZZZ.tif: 01_GT or 01_ST")
    scoring.add_argument("result", help="folder with maskTTT.tif: 01_RES")
    scoring.set_defaults(run=_run_seg)
    recovering = commands.add_parser(
        "recover", help="bring an interrupted run into a state that goes on", description=RECOVER_DESCRIPTION
    )
    recovering.add_argument("folder", nargs="?", default=".", type=Path, help="folder of the run (default: this one)")
    recovering.add_argument("--cancel", action="store_true", help="end the jobs that go on without their run")
    recovering.add_argument("--dry-run", "-n", action="store_true", help="only look")
    recovering.set_defaults(run=_run_recover)
    return parser


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


def _run_seg(given: argparse.Namespace) -> int:
    from cellcascade.metrics.seg import annotation_pairs, score

    print(f"SEG measure: {score(annotation_pairs(given.reference, given.result)).seg:.6f}")
    return 0


def _run_recover(given: argparse.Namespace) -> int:
    from cellcascade.core.recovery import recover

    for line in recover(given.folder, cancel=given.cancel, dry_run=given.dry_run):
        print(line, flush=True)
    return 0
