# Everything that a checkout can do. Each target sets itself up: Python 3.11+, make, git and a package index are enough.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
SET_UP := .venv/.set-up

.PHONY: demo test check bench
.DEFAULT_GOAL := demo

demo: $(SET_UP)        ## a node with example participants and real asset rows, and a tour of it
	@$(BIN)/fmar demo $(ARGS)

test: $(SET_UP)        ## the test suite (ARGS="-m campaign" for the long campaigns)
	@$(BIN)/python -m pytest $(ARGS)

check: $(SET_UP)       ## lint, types, import contracts, the lock and known vulnerabilities (RELEASE=1 fails where nobody can be asked)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/lock.py
	@$(BIN)/python .ci/audit.py $(if $(RELEASE),--release)

bench: $(SET_UP)       ## the benchmarks; figures go to docs/benchmarks.md
	@$(BIN)/python -m tests.benchmarks $(ARGS)

$(SET_UP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11")'
	@echo "setting up .venv from requirements.lock"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
