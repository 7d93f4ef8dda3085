# `make demo` and `make ui` work from a bare clone with Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/.installed-bench

PYTEST_ARGS ?=

.PHONY: help install demo ui test lint types floors check bench constraints clean

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(PEERS): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

install: $(STAMP) ## the package with its tools, in .venv

demo: $(STAMP) ## three days of a shop, an outage in the middle, and its recovery
	@$(BIN)/capi-assets demo

ui: $(STAMP) ## the demo's state in Dagster, with sandbox, schedules and sensor running
	@test -f data/demo/stage.json || $(BIN)/capi-assets demo
	@$(BIN)/capi-assets ui

test: $(STAMP) ## everything: units, assets over real HTTP, command line and browser
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

lint: $(STAMP) ## ruff, lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

floors: $(STAMP) ## imports run one way
	$(BIN)/lint-imports --no-cache

check: lint types floors ## what CI runs beside the tests
	$(BIN)/dagster definitions validate -w workspace.yaml

bench: $(PEERS) ## speed and memory, as ratios against peers in the same run
	$(BIN)/python -m benchmarks

constraints: ## pin what is installed now, without addresses
	$(BIN)/pip freeze --exclude-editable --disable-pip-version-check | grep -E '^[A-Za-z0-9_.-]+==' > constraints.txt

clean: ## remove the virtual environment and the demo's state
	rm -rf $(VENV) data/demo
