"""Command line: what the configuration may hold, whether it and its data are sound, SEG, exports, interrupted runs.

cellcascade schema                    JSON schema of config.yaml, for editors
cellcascade reference                 docs/configuration.md
cellcascade defaults                  writes the defaults into config.yaml
cellcascade stores                    docs/stores.md
cellcascade check config.yaml         later files override earlier ones
cellcascade seg 01_GT 01_RES          SEG of a segmentation, as the Cell Tracking Challenge defines it
cellcascade export FORMAT IMAGES OUT  synthetic images for Cellpose, StarDist, nnU-Net and others
cellcascade instances CLASSES OUT     cells of what nnU-Net predicted
cellcascade preview IMAGES            a contact sheet of synthetic images
cellcascade recover                   the state of an interrupted run, unlocked and tidied, and how to go on

Each command imports what it needs when it runs, so that `cellcascade --help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellcascade import __version__
from cellcascade.core.errors import InputError
from cellcascade.exports.commands import add_commands

if TYPE_CHECKING:
    from cellcascade.config.datasets import Config

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
PREVIEW_DESCRIPTION = (
    "Draw some of the synthetic images of a folder as a PNG file, each as it is and with its labels in colour; of "
    "stacks three orthogonal planes."
)


def check(config: "Config") -> list[str]:
    """Look at the sequences of all data sets that a configuration runs, and at folders of pretrained models.

    Args:
        config: The checked configuration.

    Returns:
        Messages, one per data set with problems.
    """
    problems = []
    for name in config.selected:
        try:
            print(f"{name}: {_check_dataset(config, name)}")
        except InputError as error:
            problems.append(f"{name}: {error}")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return given.run(given)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


def _check_dataset(config: "Config", name: str) -> str:
    """What a data set has to learn from and to test on; an `InputError` if some of it cannot be used."""
    from cellcascade.data.recording import held_out_recording, training_recording
    from cellcascade.diffusion.multiview_weights import check_weights
    from cellcascade.diffusion.priors import check_prior, prior_folder
    from cellcascade.diffusion.texture.memory import of_base
    from cellcascade.diffusion.texture.pretrained import check_autoencoder, check_base
    from cellcascade.evaluation.cellpose.weights import check_start
    from cellcascade.evaluation.scoring import reference_annotations

    data = config.datasets[name]
    training, held_out = training_recording(config, name), held_out_recording(config, name)
    frames = training.checked_frames()
    tests = reference_annotations(held_out) if held_out else {}
    if held_out:
        check_start(data.evaluation)
    if data.has_views and config.multiview.folder:
        check_weights(config.multiview.folder)
    texture, latent = data.texture, data.texture.space == "latent"
    if latent and texture.autoencoder and Path(texture.autoencoder).is_dir():
        check_autoencoder(texture.autoencoder)
    takes, prior = "", prior_folder(texture.base, "texture")
    if prior:
        check_prior(prior, "texture")
    if of_masks := prior_folder(data.mask_ddpm.base, "mask_ddpm"):
        check_prior(of_masks, "mask_ddpm")
    if Path(texture.base).is_dir() and not prior:
        check_base(texture.base, latent=latent and not texture.autoencoder, block=None if latent else texture.block)
        takes = f"; fine-tuning {texture.base} takes {of_base(texture, data.crops.size)}"
    counts = "".join(f", {len(items)} to test on ({kind})" for kind, items in tests.items())
    return f"{len(frames)} annotations in {training.folder}{counts}{takes}"


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
    checking = commands.add_parser("check", help="check configuration files and the data they name")
    checking.add_argument("config", nargs="+", help="YAML files; later ones override earlier ones")
    checking.set_defaults(run=_run_check)
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


def _run_check(given: argparse.Namespace) -> int:
    from cellcascade.config.load import read_config

    problems = check(read_config(*given.config))
    print("\n\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


def _run_seg(given: argparse.Namespace) -> int:
    from cellcascade.metrics.seg import annotation_pairs, score

    print(f"SEG measure: {score(annotation_pairs(given.reference, given.result)).seg:.6f}")
    return 0


def _run_preview(given: argparse.Namespace) -> int:
    from cellcascade.data.synthetic import open_synthetic
    from cellcascade.report.preview import open_in_napari, write_contact_sheet

    source, png = open_synthetic(given.images), given.out or given.images.resolve().parent / "preview.png"
    count = max(1, given.count)
    print(f"{png}: {write_contact_sheet(source, png, count=count)} of {len(source.images)} images")
    if given.napari:
        open_in_napari(source, count=count)
    return 0


def _run_recover(given: argparse.Namespace) -> int:
    from cellcascade.core.recovery import recover

    for line in recover(given.folder, cancel=given.cancel, dry_run=given.dry_run):
        print(line, flush=True)
    return 0
