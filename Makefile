# Everything runs from .venv, which the first target that needs it creates and fills.
# PYTHON chooses the interpreter for it:  make test PYTHON=python3.12

PYTHON ?= python3
# A file stays on one worker: what its tests share is made once.
PYTEST_ARGS ?= -n 2 --dist loadfile

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Filled again only when one of the two files that say what goes in has changed.
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-all checks lint format docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pdenet needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`: make PYTHON=python3.12 ..."; exit 1; }
	@# An interrupted or half-made .venv has no working pip: start afresh.
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@# torch first, by its exact version, so that no later requirement chooses another build of it.
	$(PIP) install torch==2.13.0 -c constraints.txt
	$(PIP) install -c constraints.txt -e '.[movie,docs,test]'
	@touch $@

demo: $(INSTALLED) ## simulate a photograph and a wave, write one page with pictures
	$(BIN)/pdenet demo

test: checks ## lint, type checker, documents, the quick tier of the tests
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-fast} $(BIN)/python -m pytest -m "not deep" $(PYTEST_ARGS)

test-all: checks ## the same with all tests, the deep tier too: an hour
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-ci} $(BIN)/python -m pytest $(PYTEST_ARGS)

checks: $(INSTALLED)
	@# Each of the two is busy on one core.
	$(MAKE) -j 2 lint docs

lint: $(INSTALLED) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## build the documents into docs/_build/html, warnings are errors
	@rm -rf docs/_api  # pages of modules that are gone
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist docs/_build docs/_api .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find pdenet solvers tests tutorials docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
