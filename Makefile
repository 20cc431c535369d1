# make env    the environment in .venv, from requirements.lock (made anew when the lock file changes)
# make demo   annotated 2D and 3D images from the bundled real cells
# make proof  the demo, and Cellpose trained with and without its images: about two hours on two cores
# make test   all tests, in four processes; PYTEST_ARGS="tests/unit -k masks" for some, in one
# make check  style, types and unit tests with their coverage, in minutes: before every commit
# make lint   style of Python and Snakemake files
# make types  types of the package
# make lock   requirements.lock, from pyproject.toml
# make docs   schema, docs/{configuration,stores,troubleshooting}.md and the defaults in config.yaml, from the code

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.PHONY: env demo proof test check lint types docs lock

# Every job starts Python anew: without the bytecode, importing PyTorch alone takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

CORES ?= $(shell nproc)
PYTEST_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.made-from-$(shell sha256sum requirements.lock | cut -c1-16)

env: $(STAMP)

$(STAMP):
	@envs/make_env.sh
	touch $@

# Small models gain little from a second thread: one job per core, of one thread each, is nearly twice as fast.
ON_CORES := --cores $(CORES) --resources gpu=$(CORES)

demo: env
	@$(BIN)/snakemake all $(ON_CORES) --configfile demo/config.yaml
	echo
	echo "Images:  results/nuclei2d/synthetic/ (2D)    results/embryo3d/synthetic/ (3D)"
	echo "Reports: results/nuclei2d/report/index.html  results/embryo3d/report/index.html"
	echo "To look at them with their labels, in napari:"
	echo "  $(BIN)/pip install -e '.[napari]' && $(BIN)/napari --plugin cellcascade results/embryo3d/synthetic"

proof: env
	@$(BIN)/snakemake all $(ON_CORES) --configfile demo/config.yaml presets/evaluation-cpu.yaml
	echo
	echo "Does it help? results/overview/index.html"

test: env
	@exec $(BIN)/python tests/run.py $(PYTEST_ARGS)

check: env
	@exec $(BIN)/python tests/run.py --check

lint: env
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint --configfile demo/config.yaml

types: env
	@$(BIN)/mypy

docs: env
	@$(BIN)/cellcascade schema > workflow/schemas/config.schema.json
	$(BIN)/cellcascade reference > docs/configuration.md
	$(BIN)/cellcascade stores > docs/stores.md
	$(BIN)/cellcascade troubleshooting > docs/troubleshooting.md
	$(BIN)/cellcascade defaults config.yaml

# Versions stay as they are unless pyproject.toml rules them out; make lock UPGRADE=--upgrade takes the newest ones.
# What PyTorch needs of CUDA depends on the machine, and is left to the installation.
lock:
	@$$(envs/uv.sh) pip compile --quiet --no-header --no-annotate --python-version 3.11.4 $(UPGRADE) pyproject.toml \
	  --extra workflow --extra evaluation --extra dev --output-file requirements.lock
	sed -i -E '/^(nvidia-|cuda-|triton)/d' requirements.lock
