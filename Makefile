# Everything a newcomer needs. Each target does the set-up where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
NATIVE := CMakeLists.txt $(wildcard native/*.h native/*.cpp native/*/*)

DEMO_RUN := runs/weather
DEMO_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench bench-all lint format wheel clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED) ## Create .venv, build the native core, install everything

# Not isolated, so that the build tools are downloaded once and rebuilds are quick.
$(INSTALLED): pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group build
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable '.[all]' --group dev
	touch $@

demo: $(INSTALLED) ## Forecast the weather of three airports: score table and report
	rm -rf $(DEMO_RUN)
	$(BIN)/gated fit forecast "$$($(BIN)/python examples/data.py weather)" \
		--time time_hour --target temp --series origin --horizon 24 --test 28d \
		--out $(DEMO_RUN) $(DEMO_OPTIONS)

test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal

bench: $(INSTALLED) ## Speed against every peer that is installed: a subset, in two minutes
	$(BIN)/python -m benchmarks --quick

bench-all: $(INSTALLED) ## The same in full, with all peers, into docs/en/benchmarks.md
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	$(BIN)/python -m benchmarks --json benchmarks/results.jsonl \
		--page docs/en/benchmarks.md --plot docs/images/benchmarks.png

lint: $(INSTALLED) ## Linters, type checker, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(INSTALLED) ## Build the wheel and the source distribution into dist/
	$(BIN)/python -m build --no-isolation

clean: ## Remove what was built (runs/ is kept)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
