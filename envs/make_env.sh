#!/usr/bin/env bash
# Makes .venv with Python 3.11, 3.12 or 3.13, found on this machine or else fetched by uv, and installs
# requirements.lock and the package into it. Which PyTorch fits this machine is found out; UV_TORCH_BACKEND (cpu, cu130,
# …) overrides that.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=$(envs/uv.sh)
unset VIRTUAL_ENV CONDA_PREFIX  # .venv is meant, whatever else is activated

# uv does not read pip's settings: mirrors and folders of wheels that pip knows are handed on, and searched as pip does.
PIP_SETTINGS=$(python3 -m pip config list 2> /dev/null || true)
hand_on() { # NAME OF UV'S VARIABLE, ITS SEPARATOR, VALUE OF PIP'S VARIABLE, KEY IN PIP'S CONFIGURATION
  local value=$3
  [ -n "$value" ] || value=$(sed -n "s/^[a-z]*\.$4='\(.*\)'$/\1/p" <<< "$PIP_SETTINGS" | head -n 1)
  value=$(xargs <<< "${value//\\n/ }")  # one space between two of them
  if [ -n "$value" ] && [ -z "${!1:-}" ]; then export "$1=${value// /$2}"; fi
}
hand_on UV_FIND_LINKS , "${PIP_FIND_LINKS:-}" find-links
hand_on UV_DEFAULT_INDEX " " "${PIP_INDEX_URL:-}" index-url
hand_on UV_INDEX " " "${PIP_EXTRA_INDEX_URL:-}" extra-index-url
export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}

python=
for version in 3.11 3.12 3.13; do
  found=$("$UV" python find --system --no-project --no-python-downloads "$version" 2> /dev/null || true)
  for candidate in "$found" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
    if [ -x "$candidate" ]; then python=$candidate; break 2; fi
  done
done
if [ -n "$python" ]; then which=(--python "$python"); else which=(--python 3.11 --python-preference only-managed); fi
echo "Making .venv; this takes some minutes, fewer where uv has packages in its cache."
if ! UV_HTTP_RETRIES=${UV_HTTP_RETRIES:-1} "$UV" venv --quiet --clear --no-project "${which[@]}" .venv; then
  [ -n "$python" ] || cat >&2 << END
cellcascade needs Python 3.11, 3.12 or 3.13. There is none here (python3 is $(python3 --version 2>&1)), and uv could not
fetch one, see above. Install one and say 'make env' again:
  Debian, Ubuntu   sudo apt install python3.11 (or 3.12, 3.13)
  conda            conda create -n python311 python=3.11 && conda activate python311
END
  exit 1
fi

# PyTorch: from a folder of wheels if there is one with it; else what uv finds to fit the machine's GPU, or its lack;
# else PyPI's, which is for GPUs. So is a cluster's login node served, which has no GPU when its nodes have.
TORCH=$(grep '^torch==' requirements.lock)
can_install() { "$UV" pip install --quiet --dry-run --no-deps --python .venv "$@" "$TORCH" 2> /dev/null; }
if [ -z "${UV_TORCH_BACKEND:-}" ] && ! can_install --no-index; then
  if command -v sbatch > /dev/null; then echo "SLURM is installed here: taking PyTorch with CUDA, for the nodes."
  elif UV_HTTP_RETRIES=0 UV_HTTP_TIMEOUT=10 can_install --torch-backend auto; then export UV_TORCH_BACKEND=auto
  else echo "PyTorch's own package index cannot be reached, or has no $TORCH for this machine: taking it from PyPI."
  fi
fi
overrides=envs/$(.venv/bin/python -c 'import sys; print("python%d.%d" % sys.version_info[:2])').txt
if [ -f "$overrides" ]; then export UV_OVERRIDE=$overrides; fi
"$UV" pip install --quiet --python .venv pip -r requirements.lock
"$UV" pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
torch=$("$UV" pip list --python .venv 2> /dev/null | awk '$1 == "torch" {print $2}')
echo "Made .venv: $(.venv/bin/python --version), PyTorch $torch."
