"""Run the command line: `python -m cellcascade` does what `cellcascade` does."""

import sys

from cellcascade.cli import main

if __name__ == "__main__":
    sys.exit(main())
