# Everything a newcomer needs: `make demo`, `make test`. See README.md.
# Python: 3.11 to 3.13. As root, missing Debian packages are installed; otherwise they are named.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages $(STAMP) ## Install what is missing: Debian packages (as root), .venv with pinned dependencies.

demo: setup ## Play the whole story on this machine (about 4 minutes).
	$(BIN)/garant demo

test: setup ## Run all tests.
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

lint: setup ## ruff, mypy --strict, import-linter, ansible-lint.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd playbooks && PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint --offline

bench: setup ## Print the figures: the demo's time per step, and the benchmarks.
	$(BIN)/python -m tests.benchmarks

clean: ## Remove the environment and the caches, and what an interrupted demo left.
	-test -x $(BIN)/garant && $(BIN)/garant demo --clean
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: packages
packages:
	@.ci/packages

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
