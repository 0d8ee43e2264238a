# Every target sets up its own virtual environment first; the second run finds it ready.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench picture clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("emasync needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": run make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)  ## the whole job on the embedded simulator, or on the EM that EMASYNC_URL names
	@$(BIN)/python -m emasync demo

test: $(READY)  ## the test suite
	@$(BIN)/python -m pytest -q

check: $(READY)  ## all that CI runs: format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q

bench: $(READY)  ## the benchmark programs (a few minutes)
	@$(BIN)/python -m benchmarks

picture: $(READY)  ## draw the README's picture from a real run of the demo
	@$(BIN)/python docs/picture.py

clean:  ## remove everything that make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
