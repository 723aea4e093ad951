# Everything sets itself up: `make test` and `make demo` work in a fresh clone.
#   make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv

SHELL := bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help test demo docs lint format pytest clean

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
RECIPE := pyproject.toml setup.cfg constraints.txt
TYPES := .make/types

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: lint pytest  ## Check style and types, run the tests (sets up what is missing)

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

pytest: $(VENV)/.dev-ready  ## Only the tests
	$(BIN)/python -m pytest

format: $(VENV)/.dev-ready  ## Fix style where it can be fixed mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) .make build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# One environment for both; each extra is installed when first needed, and again when the recipe
# changes. setuptools comes first because the pinned one does the build.
$(VENV)/.%-ready: $(RECIPE)
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt setuptools
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[$*]'
	@touch $@
