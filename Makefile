# Two commands matter: `make demo` and `make test`. Each sets itself up on a machine that has Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTED := $(VENV)/.installed-for-tests
COLLECTED := $(VENV)/.collected
# The model extra is installed for Python 3.11 only (torch is pinned), ray where its pinned version has a wheel; elsewhere
# the tests that need them are skipped.
EXTRAS = dev,celery,zst,parquet,tokens,fit$(shell $(PYTHON) -c 'import sys; v = sys.version_info[:2]; print(",model" * (v == (3, 11)) + ",ray" * (v <= (3, 14)))')

# Compiled modules are kept in any case: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test unit lint style types rules pytest bench docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    six client strategies on two embedded mock servers; prints the path of the report"
	@echo "make test    lint, types, import rules and every test, with coverage"
	@echo "make unit    the quick tests only"
	@echo "make bench   measured claims: clients, transports, Locust, stages (runs/bench/bench.png), hot paths"
	@echo "make docs    write the generated tables in docs/ again"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "paceline needs Python 3.11 or newer; PYTHON=/path/to/python3.11 make ... chooses one")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# Of the modules of torch and Ray few are imported; those are compiled at their first import.
$(TESTED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(STAMP) $@

demo: $(STAMP)
	$(BIN)/paceline demo --out runs/demo --overwrite

lint: $(TESTED)
	@$(MAKE) --no-print-directory -j2 types style rules

style: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TESTED)
	$(BIN)/mypy

rules: $(TESTED)
	$(BIN)/lint-imports

# Once for all workers, and again when tests have changed: pytest rewrites the assertions and keeps the modules.
$(COLLECTED): $(TESTED) $(shell find tests -name '*.py')
	@$(BIN)/pytest --collect-only -qq >/dev/null || $(BIN)/pytest --collect-only -qq
	@touch $@

unit: $(TESTED)
	$(BIN)/pytest tests/unit -q -m "not slow"

# The types are checked beside the tests: these often wait, and leave a core idle.
test: $(TESTED)
	@$(MAKE) --no-print-directory -j3 types style rules pytest
	$(BIN)/coverage report --skip-covered --fail-under=95

pytest: $(COLLECTED)
	$(BIN)/pytest -n 4 --dist worksteal --cov --cov-report= -q

bench: $(TESTED)
	$(BIN)/python -W ignore -m tests.bench
	$(BIN)/pytest tests/bench -v --no-header --benchmark-only --benchmark-quiet -o console_output_style=times -o addopts="--strict-markers -p no:locust"

docs: $(TESTED)
	$(BIN)/python -m mock_server.docs_tables docs/servers.md
	$(BIN)/python -m harness.measure.schema

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
