# Everything a developer or CI does, by the same words. Needs make and Python >= 3.11 (with venv); the rest is installed into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
LOCK := $(VENV)/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --no-strip-extras --universal --python-version 3.11
READY_TO_RUN := $(VENV)/.run-stamp
READY_TO_TEST := $(VENV)/.dev-stamp
PYTEST ?= $(PY) -m pytest -q
SIDE_BY_SIDE ?= -n 2
ARGS ?=

.PHONY: help demo test fast cover lint types floors size docs docs-check bench machine planted crash simulate check requirements clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name what; do printf '  %-14s%s\n' "$$name" "$$what"; done

demo: $(READY_TO_RUN)  ## live 120 days of the playbook ahead, then run the real daemon on the shipped sample against local providers (a minute; five on a busy machine)
	$(VENV)/bin/homing demo --days 120 $(ARGS)

test: $(READY_TO_TEST)  ## run all tests, in two processes
	$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

fast: $(READY_TO_TEST)  ## run the tests that take less than two seconds each
	$(PYTEST) -m "not slow" $(ARGS)

cover: $(READY_TO_TEST)  ## run all tests and show which branches none of them takes
	$(PYTEST) --cov --cov-report=term $(ARGS)

lint: $(READY_TO_TEST)  ## check style, traps and banned calls (ruff)
	$(PY) -m ruff check .

types: $(READY_TO_TEST)  ## check types (mypy --strict)
	$(PY) -m mypy

floors: $(READY_TO_TEST)  ## check that no floor imports a higher one (import-linter)
	$(VENV)/bin/lint-imports

size: $(READY_TO_TEST)  ## check lengths of files and functions, and that each module says what it is for
	$(PY) tools/size.py

docs: $(READY_TO_TEST)  ## write the generated parts of the docs anew and check links
	$(PY) -m tools.docs

docs-check: $(READY_TO_TEST)
	$(PY) -m tools.docs --check

bench: $(READY_TO_TEST)  ## measure e-mails/s and CPU a message, beside a bare SMTP loop
	$(PY) -m tests.bench $(ARGS)

machine: $(READY_TO_TEST)  ## run the store's state machine deep (ARGS=EXAMPLESxSTEPS, default 2000x200)
	HOMING_MACHINE=$(or $(ARGS),2000x200) $(PYTEST) tests/store/test_machine.py

planted: $(READY_TO_TEST)  ## plant bugs that break promises and see that some layer of tests catches each
	$(PY) -m tests.planted $(ARGS)

crash: $(READY_TO_TEST)  ## kill -9 the daemon 45 times over 20,000 messages and break disk, clock and process around it; judged by the mail server's log
	$(PY) -m tests.crash $(ARGS)

simulate: $(READY_TO_TEST)  ## live the whole daemon under virtual time with crashes and faults: 500 seeds, each twice
	$(PY) -m tests.simulation $(ARGS)

check: lint types floors size docs-check  ## all checks that are no tests

requirements: $(READY_TO_TEST)  ## pin the newest allowed versions with their hashes in requirements/*.txt
	$(PIP) install --quiet --require-hashes -r requirements/lock.txt
	$(LOCK) --upgrade requirements/build.in -o requirements/build.txt
	$(LOCK) --upgrade requirements/lock.in -o requirements/lock.txt
	$(LOCK) --upgrade pyproject.toml -o requirements/run.txt
	$(LOCK) --upgrade pyproject.toml --group test --group lint -o requirements/dev.txt

clean:  ## remove the environment and all caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find daemon channels plugins -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo 'homing needs Python >= 3.11; name it with: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(READY_TO_RUN): requirements/build.txt requirements/run.txt pyproject.toml | $(PY)
	$(PIP) install --quiet --require-hashes -r requirements/build.txt
	$(PIP) install --quiet --require-hashes -r requirements/run.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(PY) -m compileall -q --invalidation-mode checked-hash daemon channels plugins
	@touch $@

$(READY_TO_TEST): $(READY_TO_RUN) requirements/dev.txt
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@
