# Everything happens in .venv; nothing is installed outside this folder. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := check
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements/build.txt requirements/runtime.txt pyproject.toml requirements/install
export PYTHON

# A venv that was copied elsewhere or has lost its Python is made anew, whatever the stamps say.
ifneq ($(shell [ "$$(cat $(VENV)/.home 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c '' 2>/dev/null && echo whole),whole)
MEND := mend
endif

.PHONY: check mend install dev demo test nightly asterisk real pure coverage lint format types bench docs lock clean help

check: format lint types test ## everything a change must pass (the default)

install: $(VENV)/.runtime ## make .venv with .venv/bin/amibridge
	@echo "==> $(BIN)/amibridge is ready" >&2

dev: $(VENV)/.dev ## .venv with what tests and checks need

$(VENV)/.runtime: $(LOCKS) $(MEND)
	@requirements/install $(VENV) runtime
	@touch $@

$(VENV)/.dev: $(LOCKS) requirements/dev.txt $(MEND)
	@requirements/install $(VENV) dev
	@touch $(VENV)/.runtime $@

mend:

demo: install ## PBX, CRM and bridge on this machine; DEMO_ARGS=--once plays all calls and ends
	@echo "==> starting the demo: $(BIN)/amibridge demo $(DEMO_ARGS)" >&2
	@exec $(BIN)/amibridge demo $(DEMO_ARGS)

# Much of it waits for phones and timeouts: four workers keep two cores busy.
WORKERS ?= -n 4 --dist worksteal

test: dev asterisk ## all tests; PYTEST_ARGS="-k board -x" for some, WORKERS= for one after another
	$(BIN)/python -m pytest -q -rs $(WORKERS) $(PYTEST_ARGS)

nightly: dev ## what takes too long for every change: more than 10,000 questions to the API, out of its own document
	$(BIN)/python -m pytest -q -rs -s tests/web/test_api_contract.py --api-examples 1100 $(PYTEST_ARGS)

# Without a mirror of Debian there is none, which is said, and its tests are left out, which pytest says again.
asterisk: dev ## a private Asterisk 22 and 16 for the tests, below .asterisk; nothing of this system is changed
	@$(BIN)/python -m tests.real.obtain 22 16 || true

real: dev asterisk ## the calls on a real Asterisk, on every version and driver
	$(BIN)/python -m pytest -q -rs -n 4 --every-stack tests/real $(PYTEST_ARGS)

PURE := -p no:xdist -m "not io and not slow" --hypothesis-profile=quick --ignore=tests/retailcrm/test_client.py \
  --ignore=tests/retailcrm/test_service.py --ignore=tests/retailcrm/test_exchange.py
PURE_TESTS := tests/calls tests/ami/test_wire.py tests/ami/test_events.py tests/ami/test_session.py \
  tests/ami/test_transcript.py tests/ami/test_cutting.py \
  tests/ami/test_actions.py tests/retailcrm tests/delivery/test_plan.py tests/delivery/test_policy.py \
  tests/delivery/test_standing.py

pure: dev ## the pure half, where calls are understood: no socket, no database, in seconds
	$(BIN)/python -m pytest -q $(PURE) $(PURE_TESTS) $(PYTEST_ARGS)

PURE_CORE := amibridge/ami/wire.py,amibridge/ami/events.py,amibridge/ami/reading.py,amibridge/ami/actions.py,amibridge/ami/session.py,amibridge/ami/transcript.py,amibridge/ami/cutting.py,amibridge/calls/*
PURE_CORE := $(PURE_CORE),amibridge/enterprises.py,amibridge/retailcrm/re*.py,amibridge/retailcrm/hooks.py,amibridge/delivery/policy.py

coverage: dev ## branch coverage of the pure core by the pure tests
	$(BIN)/python -m pytest -q -m "not postgres and not system" $(PURE_TESTS) --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/coverage report --include '$(PURE_CORE)' --fail-under=95

lint: dev ## style, form, and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache --no-logo

format: dev ## put every file into form
	$(BIN)/ruff check --quiet --fix-only
	$(BIN)/ruff format

types: dev ## mypy, strict
	$(BIN)/mypy

bench: install ## speed beside stock panoramisk; BENCH_ARGS="parse --json", BENCH_ARGS=web, BENCH_ARGS=--help for more
	$(BIN)/python -m bench $(BENCH_ARGS)

# Pins that are there stay; LOCK_ARGS=--upgrade takes the newest.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-strip-extras --no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

docs: dev ## print the state diagrams of docs/calls.md anew
	$(BIN)/python -m tests.house.diagram

lock: ## write requirements/*.txt anew (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv in PATH" >&2; exit 1; }
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt

clean: ## remove .venv and everything generated
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .import_linter_cache
	find amibridge bench tests -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
