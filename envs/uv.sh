#!/usr/bin/env bash
# Prints the path of uv: the one on PATH, or one of the project's own in .uv, which any Python from 3.8 on can install.
set -euo pipefail
cd "$(dirname "$0")/.."

stop() {
  printf '%s\n' "cellcascade needs uv to make its environment, and could not install it: $1." \
    "Install it yourself (pipx install uv, or https://docs.astral.sh/uv), and say 'make env' again." >&2
  exit 1
}

if [ ! -x .uv/bin/uv ] && command -v uv; then exit; fi
if [ ! -x .uv/bin/uv ]; then
  command -v python3 > /dev/null || stop "there is no python3 (Debian, Ubuntu: sudo apt install python3-venv)"
  trap 'rm -rf .uv.part' EXIT
  # Debian's Python may lack venv, others may lack pip: either will do.
  in_venv() { python3 -m venv .uv.part && .uv.part/bin/python -m pip install --quiet uv; }
  by_pip() { rm -rf .uv.part && python3 -m pip install --quiet --target .uv.part uv; }
  reasons=$({ in_venv || by_pip; } 2>&1) || stop "$(tail -n 1 <<< "$reasons")"
  rm -rf .uv && mkdir -p .uv/bin
  mv .uv.part/bin/uv .uv/bin/
fi
echo "$PWD/.uv/bin/uv"
