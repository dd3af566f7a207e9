# `make demo` and `make test` do all of their set-up: they need Python 3.11 or newer with venv, and nothing else.
# The environment is made once, in .venv, and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# An editable install is compiled at its first start, or at every start where bytecode is not written: compile it now.
COMPILE := $(BIN)/python -m compileall -q src

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint nightly docs format clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/core.stamp ## count a model, see whether one fits, what training takes, design one
	$(BIN)/deepwide count llama-3-8b --explain
	$(BIN)/deepwide memory llama-2-13b --on rtx-3060-12gb --weights int4
	$(BIN)/deepwide predict training llama-3-70b --on h100 --devices 512 --tokens 15T
	$(BIN)/deepwide design --parameters 10B --on h100

test: lint ## the gate: lint, then all quick tests
	$(BIN)/pytest -q

lint: $(VENV)/dev.stamp ## format, style, types, and which room may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

nightly: $(VENV)/dev.stamp ## the slow tests, and the generated ones with many more examples
	$(BIN)/pytest -q -m "slow or fuzz" --hypothesis-profile=nightly
	$(BIN)/python benchmarks/fuzz.py --inputs 100000
	$(BIN)/python benchmarks/transformers_truth.py --at-least 0.97

docs: $(VENV)/docs.stamp ## the documentation as a site, in build/site; a link that leads nowhere is an error
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --quiet docs build/site

format: $(VENV)/dev.stamp ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the environment and the caches
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/core.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	$(COMPILE)
	touch $@

$(VENV)/docs.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[docs]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	@echo "Installing the development tools and PyTorch; this takes some minutes the first time."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[dev]'
	$(COMPILE)
	touch $(VENV)/core.stamp $@
