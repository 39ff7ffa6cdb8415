# `make` or `make help` lists the targets. The environment is .venv here, made when first needed.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp
EXTRAS := dev,docs,data,dashboard,studio,openvino,ncnn,sweeps,postgresql,release
ARGS ?=
# Every file that pip takes is checked against its hash; CONSTRAINTS=constraints.txt pins versions alone, for other builds of PyTorch.
CONSTRAINTS ?= constraints-hashed.txt
# Two workers with one thread each are faster on 2 cores than one worker with two. Each takes half of the tests in their
# order, so that few modules run in both, and then from the other's half; compiled tests are kept for the next time.
WORKERS ?= 2
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help setup run test test-slow check docs format lock sbom licenses dashboard clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  Arguments go through ARGS: make run ARGS="latency_ms=2", make test ARGS="-k space"'

setup: $(STAMP) ## make .venv with the pinned and hashed versions of constraints-hashed.txt

# Anew when what it is made from has changed. A Python that is named in PYTHON comes first.
$(STAMP): pyproject.toml setup.py $(CONSTRAINTS)
	@set -euo pipefail; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    found=; \
	    for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	        if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if test -z "$$found"; then \
	        echo "make: Python 3.11 or newer is needed and was not found; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$found" --version)"; \
	    "$$found" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; \
	}; \
	echo "Installing what $(CONSTRAINTS) pins (minutes the first time)"
	@$(BIN)/python .ci/requirements $(EXTRAS) >$(VENV)/requirements.txt
	.ci/install $(BIN)/python $(CONSTRAINTS) $(VENV)/requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP) ## the whole job on the bundled digits: train, profile, search, extract, report
	$(BIN)/ofa run $(ARGS)

test: $(STAMP) ## the tests, without the slow ones
	$(PYTEST) -m "not slow" -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: $(STAMP) ## the slow tests alone
	$(PYTEST) -m slow -n $(WORKERS) --dist worksteal $(ARGS)

check: $(STAMP) ## ruff and mypy, as the continuous integration runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## the documentation as pages, build/site/index.html; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet $(ARGS)
	@echo "build/site/index.html"

format: $(STAMP) ## let ruff format the code and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP) ## write constraints-hashed.txt anew from constraints.txt
	.ci/lock

sbom: $(STAMP) ## write sbom.json, what this environment is made of (CycloneDX)
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
	    --output-file sbom.json $(BIN)/python

licenses: $(STAMP) ## write docs/licenses.md anew, what this environment is licensed under
	{ sed '/^| /,$$d' docs/licenses.md; .ci/licenses $(BIN)/python; } >$(VENV)/licenses.md
	mv $(VENV)/licenses.md docs/licenses.md

dashboard: $(STAMP) ## watch the searches in a browser (this machine only)
	$(BIN)/ofa dashboard $(ARGS)

clean: ## remove builds and caches; .venv and outputs stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
