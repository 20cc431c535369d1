"""The commands `export` and `instances`; they import what they need when they run."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

EXPORT_DESCRIPTION = (
    "Write a folder of synthetic images as another program wants them, and print how to train it. Formats: cellpose, "
    "stardist, nnunet, ctc (Cell Tracking Challenge), hub (Hugging Face), pairs (Omnipose and others), coco. "
    "docs/exports.md describes each, docs/configuration.md its settings."
)
INSTANCES_DESCRIPTION = (
    "nnU-Net knows classes, not cells: make labels of cells from the cores and borders that it has predicted."
)


def add_commands(commands: Any) -> None:
    """Add the two commands to the command line."""
    exporting = commands.add_parser(
        "export", help="write synthetic images for Cellpose, StarDist, nnU-Net, …", description=EXPORT_DESCRIPTION
    )
    exporting.add_argument("format", help="name of the format")
    exporting.add_argument("images", type=Path, help="folder of synthetic images: results/DATASET/synthetic")
    exporting.add_argument("out", type=Path, help="new folder")
    exporting.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the format, e.g. few_masks=join"
    )
    exporting.set_defaults(run=_run_export)
    growing = commands.add_parser(
        "instances", help="make cells of what nnU-Net predicted", description=INSTANCES_DESCRIPTION
    )
    growing.add_argument("classes", type=Path, help="folder of TIFF files with the classes 0, 1 (core), 2 (border)")
    growing.add_argument("out", type=Path, help="new folder for the labels")
    growing.set_defaults(run=_run_instances)


def _run_export(given: argparse.Namespace) -> int:
    from cellcascade.exports.registry import find_format
    from cellcascade.exports.stage import clear_leftovers, described, export

    form = find_format(given.format, dict(map(_setting, given.set)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exit removes what is unfinished
    for path in clear_leftovers(given.out):
        print(f"note: {path} is of another export, which seems to be at work; if not, delete it", file=sys.stderr)
    for line in described(export(given.images, form, given.out), given.out):
        print(line)
    return 0


def _run_instances(given: argparse.Namespace) -> int:
    from cellcascade.exports.instances import convert_folder

    print(f"{given.out}: labels of {convert_folder(given.classes, given.out)} images")
    return 0


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = text.partition("=")
    try:
        return key, yaml.safe_load(value if equals else "")
    except yaml.YAMLError:
        return key, value
