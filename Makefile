# `make demo` and `make ui` work from a bare clone with Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
  --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
  --build-deps-for editable --extra postgres
COMPILE_ARGS ?=
PYTEST_ARGS ?=

.PHONY: help install dev spark demo ui test lint types floors check bench audit images sbom licences constraints clean

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# Every package is checked against its hash; the project itself, which has none, comes after them.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --no-deps -r constraints.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(STAMP) constraints-dev.txt
	$(PIP) install --require-hashes --no-deps --no-build-isolation -r constraints-dev.txt
	@touch $@

spark: $(VENV)/spark/.installed ## a Spark for the tests of a cluster, 450 MB; needs Java 17

# Beside the packages of the environment: tests/helpers/spark_cluster.py has the reason.
$(VENV)/spark/.installed: $(DEV) constraints-spark.txt
	$(PIP) install --require-hashes --no-deps --upgrade --target $(VENV)/spark -r constraints-spark.txt
	@touch $@

install: $(STAMP) ## the package, in .venv

dev: $(DEV) ## the package with the tools of its developers

demo: $(STAMP) ## three days of a shop, an outage in the middle, and its recovery
	@$(BIN)/capi-assets demo

ui: $(STAMP) ## the demo's state in Dagster, with sandbox, schedules and sensor running
	@test -f data/demo/stage.json || $(BIN)/capi-assets demo
	@$(BIN)/capi-assets ui

test: $(DEV) ## everything: units, assets over real HTTP, command line and browser
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

lint: $(DEV) ## ruff, lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

floors: $(DEV) ## imports run one way
	$(BIN)/lint-imports --no-cache

check: lint types floors ## what CI runs beside the tests
	$(BIN)/dagster definitions validate -w workspace.yaml

bench: $(DEV) ## speed and memory, as ratios against peers in the same run
	$(BIN)/python -m benchmarks

audit: $(DEV) ## known vulnerabilities of the installed versions; fails if it cannot be checked
	$(BIN)/python -m tools.audit

images: $(DEV) ## the pictures in docs/images, from a demo in Debian's chromium; 10 minutes
	$(BIN)/python -m tools.images

sbom: $(DEV) ## sbom.json: what `make install` installs, in CycloneDX
	$(BIN)/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml --short-PURLs \
	  --output-reproducible --sv 1.6 -o sbom.json

licences: $(DEV) ## docs/licences.md: the licence of every package that `make install` installs
	$(BIN)/python -m tools.licences

constraints: $(DEV) ## pin what pyproject.toml admits, with hashes; COMPILE_ARGS=--upgrade for the newest
	$(COMPILE) $(COMPILE_ARGS) -o constraints.txt pyproject.toml
	$(COMPILE) $(COMPILE_ARGS) -c constraints.txt --extra dev --extra bench -o constraints-dev.txt pyproject.toml
	$(COMPILE) $(COMPILE_ARGS) -c constraints.txt -o constraints-spark.txt tests/spark/requirements.in

clean: ## remove the virtual environment and the demo's state
	rm -rf $(VENV) data/demo
