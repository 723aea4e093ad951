# Everything sets itself up: `make test` and `make demo` work in a fresh clone.
#   make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv

SHELL := bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help test demo docs lint format pytest bare clean

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
RECIPE := pyproject.toml setup.cfg constraints.txt
TYPES := .make/types
# What forecasts need and nothing else, with the wheel and what its tests need.
BARE := .make/bare
BARE_PYTHON := $(abspath $(BARE))/venv/bin/python

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: lint bare pytest  ## Check style and types, run the tests (sets up what is missing)

demo: $(VENV)/.demo-ready  ## Forecast a real training run (sets up what is missing)
	$(BIN)/python experiments/demo.py

docs: $(VENV)/.docs-ready  ## Build the documentation into site/ (sets up what is missing)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(VENV)/.dev-ready  ## ruff check, ruff format --check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# mypy cannot follow setup.cfg's folder mapping: check a copy laid out as installed.
	@rm -rf $(TYPES)
	@mkdir -p $(TYPES)
	@cp -Rp lcpfn $(TYPES)/lcpfn
	@cp -Rp priors $(TYPES)/lcpfn/priors
	@cp -Rp integrations $(TYPES)/lcpfn/integrations
	cd $(TYPES) && $(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
	    --cache-dir $(CURDIR)/.mypy_cache | sed -E 's#^lcpfn/(priors|integrations)/#\1/#'

pytest: $(VENV)/.dev-ready  ## Only the tests; those of the doors to frameworks without torch
	@# Two at a time, each with one thread: more of them would wait for one another.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal \
	    --ignore tests/integrations
	$(BIN)/python -m pytest -p tests.without_torch tests/integrations

bare: $(VENV)/.dev-ready $(BARE)/.ready  ## Build sdist and wheel, test forecasts without torch
	@rm -rf $(BARE)/dist $(BARE)/tests
	$(BIN)/python -m build --no-isolation --outdir $(BARE)/dist . >$(BARE)/build.log
	$(BARE_PYTHON) -m pip --disable-pip-version-check --no-input install --quiet --no-index \
	    --no-deps --force-reinstall $(BARE)/dist/*.whl
	@# Beside the tests alone, `import lcpfn` is the wheel that was built.
	@cp -Rp tests pyproject.toml $(BARE)
	cd $(BARE) && $(BARE_PYTHON) -m pytest tests/forecast tests/search \
	    tests/cli/test_without_torch.py

format: $(VENV)/.dev-ready  ## Fix style where it can be fixed mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) .make build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# The requirements of the wheel come from the index; the wheel itself is built here.
$(BARE)/.ready: $(RECIPE)
	@test -x $(BARE_PYTHON) || $(PYTHON) -m venv $(BARE)/venv
	$(BARE_PYTHON) -m pip --disable-pip-version-check --no-input install --quiet \
	    --constraint constraints.txt numpy rich safetensors typer hypothesis pytest
	@touch $@

# One environment for both; each extra is installed when first needed, and again when the recipe
# changes. setuptools comes first because the pinned one does the build.
$(VENV)/.%-ready: $(RECIPE)
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt setuptools
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[$*]'
	@touch $@
