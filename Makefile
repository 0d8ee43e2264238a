# Every target sets up its own virtual environment first; the second run finds it ready.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := $(VENV)/.bench-ready
# A process a core; what one has left another takes over. The suite's own children take the rest of a large machine.
TESTS := $(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: demo test check torture bench picture clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("emasync needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": run make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)  ## the whole job on the embedded simulator, or on the EM that EMASYNC_URL names
	@$(BIN)/python -m emasync demo

test: $(READY)  ## the test suite
	@$(TESTS)

check: $(READY)  ## all that CI runs: format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(TESTS)

torture: $(READY)  ## the long fault matrices, as a table (forty minutes); SOAK=20 adds twenty minutes of mixed faults
	@$(BIN)/python -m tests.torture $(if $(SOAK),--soak $(SOAK)) $(if $(SEED),--seed $(SEED))

$(BENCH): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(BENCH)  ## emasync beside its peers, then the table and the plots (ten minutes); FULL=1: the stated sizes
	@$(BIN)/python -m benchmarks $(if $(FULL),--full)
	@$(BIN)/python -m benchmarks.report

picture: $(READY)  ## draw the README's picture from a real run of the demo
	@$(BIN)/python docs/picture.py

clean:  ## remove everything that make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
