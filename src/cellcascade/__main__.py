"""Command line: what the configuration may hold, and whether a configuration and its data are sound.

python -m cellcascade schema              JSON schema of config.yaml, for editors
python -m cellcascade reference           docs/configuration.md
python -m cellcascade check config.yaml   later files are laid over earlier ones
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cellcascade.config import Config, read_config
from cellcascade.ctc import check_sequence
from cellcascade.errors import InputError
from cellcascade.reference import config_schema, reference


def check(config: Config) -> list[str]:
    """Look at the training sequences of all data sets that a configuration runs.

    Args:
        config: The checked configuration.

    Returns:
        Messages, one a data set with problems.
    """
    problems = []
    for name in config.selected:
        data = config.datasets[name]
        folder = Path(config.data_root) / data.folder
        try:
            frames = check_sequence(folder, data.train_sequence, data.annotations, data.ndim)
            print(f"{name}: {len(frames)} annotations in {folder}")
        except InputError as error:
            problems.append(f"{name}: {error}")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    parser = argparse.ArgumentParser(prog="python -m cellcascade", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("schema", help="print the JSON schema of config.yaml")
    commands.add_parser("reference", help="print docs/configuration.md")
    checking = commands.add_parser("check", help="check configuration files and the data they name")
    checking.add_argument("config", nargs="+", help="YAML files; later ones are laid over earlier ones")
    given = parser.parse_args(arguments)
    if given.command == "schema":
        print(json.dumps(config_schema(), indent=2))
    elif given.command == "reference":
        print(reference(), end="")
    else:
        try:
            problems = check(read_config(*given.config))
        except InputError as error:
            problems = [str(error)]
        print("\n\n".join(problems), file=sys.stderr)
        return 1 if problems else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
