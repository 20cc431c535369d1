#!/usr/bin/env bash
# Runs once, in the new environment, from the folder that holds the Snakefile.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation --editable .
