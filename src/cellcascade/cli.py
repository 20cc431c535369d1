"""Command line: what the configuration may hold, whether it and its data are sound, and SEG of a segmentation.

python -m cellcascade schema              JSON schema of config.yaml, for editors
python -m cellcascade reference           docs/configuration.md
python -m cellcascade defaults            writes the defaults into config.yaml
python -m cellcascade check config.yaml   later files override earlier ones
python -m cellcascade seg 01_GT 01_RES    SEG of a segmentation, as the Cell Tracking Challenge defines it
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cellcascade.config.datasets import Config
from cellcascade.config.document import config_schema, reference, with_defaults
from cellcascade.config.load import read_config, read_text
from cellcascade.core.errors import InputError
from cellcascade.core.files import atomic_path
from cellcascade.data.recording import held_out_recording, training_recording
from cellcascade.diffusion.multiview_weights import check_weights
from cellcascade.diffusion.texture.pretrained import check_base
from cellcascade.evaluation.cellpose.weights import check_start
from cellcascade.evaluation.scoring import reference_annotations
from cellcascade.metrics.seg import annotation_pairs, score


def check(config: Config) -> list[str]:
    """Look at the sequences of all data sets that a configuration runs, and at folders of pretrained models.

    Args:
        config: The checked configuration.

    Returns:
        Messages, one a data set with problems.
    """
    problems = []
    for name in config.selected:
        data = config.datasets[name]
        recording, held_out = training_recording(config, name), held_out_recording(config, name)
        try:
            frames = recording.checked_frames()
            tests = reference_annotations(held_out) if held_out else {}
            if held_out:
                check_start(data.evaluation)
            if data.has_views and config.multiview.folder:
                check_weights(config.multiview.folder)
            if Path(data.texture.base).is_dir():
                check_base(data.texture.base, latent=data.texture.space == "latent")
            counts = "".join(f", {len(items)} to test on ({kind})" for kind, items in tests.items())
            print(f"{name}: {len(frames)} annotations in {recording.folder}{counts}")
        except InputError as error:
            problems.append(f"{name}: {error}")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cellcascade", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("schema", help="print the JSON schema of config.yaml")
    commands.add_parser("reference", help="print docs/configuration.md")
    writing = commands.add_parser(
        "defaults",
        help="write the defaults into config.yaml",
        description="Write the package's defaults, with their comments, between the two lines of config.yaml that mark "
        "them. Values that were changed there are reset; the rest of the file stays as it is.",
    )
    writing.add_argument("config", nargs="?", default="config.yaml", type=Path, help="the file (default: config.yaml)")
    checking = commands.add_parser("check", help="check configuration files and the data they name")
    checking.add_argument("config", nargs="+", help="YAML files; later ones override earlier ones")
    scoring = commands.add_parser(
        "seg",
        help="print SEG of a segmentation",
        description="Print SEG of a segmentation, as the Cell Tracking Challenge defines it: for every reference "
        "object of every annotation file the IoU with the object that covers more than half of it, 0 if there is "
        "none; the mean over all reference objects. For 2D, 3D and sparse 3D gold truth, where the result is cut at "
        "the annotated slice.",
    )
    scoring.add_argument("reference", help="folder with SEG/man_segTTT.tif or SEG/man_seg_TTT_ZZZ.tif: 01_GT or 01_ST")
    scoring.add_argument("result", help="folder with maskTTT.tif: 01_RES")
    return parser


def _run(given: argparse.Namespace) -> int:
    if given.command == "schema":
        print(json.dumps(config_schema(), indent=2))
    elif given.command == "reference":
        print(reference(), end="")
    elif given.command == "defaults":
        text = with_defaults(read_text(given.config), given.config)
        with atomic_path(given.config) as scratch:
            scratch.write_text(text, encoding="utf-8")
    elif given.command == "seg":
        print(f"SEG measure: {score(annotation_pairs(given.reference, given.result)).seg:.6f}")
    else:
        problems = check(read_config(*given.config))
        print("\n\n".join(problems), file=sys.stderr)
        return 1 if problems else 0
    return 0
