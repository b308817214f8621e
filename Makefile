# Everything runs from .venv, which holds the versions of constraints.txt. Only Python (3.11 or newer, with venv) and make are needed.

PYTHON ?= python3
# Tests run in this many processes: three for two cores, as a test waits for a third of its time. Each begins with a part of its
# own, so that what its tests share starts once, and one that has nothing left takes from another.
TEST_PROCESSES ?= 3
TEST_DIVIDED := -n $(TEST_PROCESSES) --dist worksteal

# Without compiled modules each of the many processes of a test run would compile all of EMP again, and pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/.ready
# Plugins that bring hundreds of megabytes have a venv of their own, so that `make setup` stays quick.
HEAVY := plugins/emp-plugin-ocr
HEAVY_BIN := .venv-heavy/bin
HEAVY_READY := .venv-heavy/.ready
HEAVY_INSTALL := $(HEAVY_BIN)/python -m pip --disable-pip-version-check install --quiet \
	--constraint constraints.txt --constraint constraints-heavy.txt
PLUGINS := $(filter-out $(HEAVY),$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-heavy demo dev test test-quick test-all test-slow test-again test-heavy faults failover chaos mutants screenshots lint types docs bench bench-monitor instructions overload constraints constraints-heavy clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with EMP, its plugins and the tools

# The dev group is read by pip 25.1 and newer, hence pip first. The build backend comes from that group too: without build
# isolation its version is the constrained one.
$(READY): pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "EMP needs Python 3.11 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --upgrade pip
	$(INSTALL) --group dev
	$(INSTALL) --no-build-isolation --editable '.[all,otel]' $(PLUGINS:%=--editable %)
	@touch $@

setup-heavy: $(HEAVY_READY) ## make .venv-heavy with the plugins that `make setup` leaves out

$(HEAVY_READY): pyproject.toml constraints.txt constraints-heavy.txt $(HEAVY:%=%/pyproject.toml)
	test -x $(HEAVY_BIN)/python || $(PYTHON) -m venv .venv-heavy
	$(HEAVY_INSTALL) --upgrade pip
	$(HEAVY_INSTALL) --group heavy
	$(HEAVY_INSTALL) --no-build-isolation --editable '.[all,testing]' $(HEAVY:%=--editable %)
	@touch $@

demo: $(READY) ## run the whole stack once on real input, then end
	$(BIN)/python examples/demo.py

dev: $(READY) ## run the whole stack until Ctrl-C, with reload
	$(BIN)/emp dev

test: $(READY) ## run the tests, the slow ones left out
	$(BIN)/pytest $(TEST_DIVIDED) -m "not slow"

test-quick: $(READY) ## run the tests that start no process: for use while writing
	$(BIN)/pytest $(TEST_DIVIDED) -m "not slow and not process"

test-all: test test-slow test-heavy ## run every test

test-slow: $(READY) ## run the slow tests alone
	$(BIN)/pytest $(TEST_DIVIDED) -m slow

test-again: $(READY) ## run what failed last, one test at a time
	$(BIN)/pytest --last-failed --last-failed-no-failures none

test-heavy: ## run the tests of the plugins that `make setup` leaves out
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		$(MAKE) $(HEAVY_READY) && $(HEAVY_BIN)/pytest $(HEAVY); \
	else \
		echo 'left out: $(HEAVY) has dependencies for Python 3.11 and 3.12 only; make test-heavy PYTHON=python3.12'; \
	fi

faults: $(READY) ## inject every fault and check what EMP promises (FAULTS="store cut": those alone; SEED=n)
	PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS) $(if $(SEED),--seed $(SEED))

failover: $(READY) ## kill the primary behind a Sentinel under load, at two durability levels: what is lost of what was acknowledged
	$(BIN)/pytest -s tests/e2e/test_failover.py

chaos: $(READY) ## inject random faults for SECONDS=60, with SEED=n
	PYTHONPATH=tests $(BIN)/python -m faults.chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

mutants: $(READY) ## break EMP in one place after the other: the fault suite must find each (MUTANTS="token")
	PYTHONPATH=tests $(BIN)/python -m faults.mutants $(MUTANTS) $(if $(SEED),--seed $(SEED))

screenshots: $(READY) ## take the pictures of the monitor in docs/images, with chromium
	PYTHONPATH=tests $(BIN)/python -m showing

lint: types ## check style, types, imports and what may be in the tree
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_tree.py

types: $(READY) ## check the types
	$(BIN)/mypy

docs: $(READY) ## check links, what is made from the code, and that the tutorial works
	$(BIN)/python tools/check_links.py
	$(BIN)/python tools/write_docs.py --check
	$(BIN)/pytest -q tests/docs tests/test_architecture.py

bench: $(READY) ## measure EMP beside its peers (an hour); QUICK=1: EMP, SAQ and BullMQ in five minutes
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

bench-monitor: $(READY) ## measure the monitor with 1,000,000 jobs waiting, then 10,000 a second passing (five minutes; chromium)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.monitor

instructions: $(READY) ## count instructions per job, compare with those recorded (a minute; valgrind); RECORD=1 records, PARTS="store server worker"
	$(BIN)/python -m benchmarks.instructions $(if $(PARTS),--parts $(PARTS)) $(if $(RECORD),--record)

overload: $(READY) ## offer a server twice its capacity, and say who is shed and how fast the others are (a minute)
	$(BIN)/python -m benchmarks.overload

constraints: $(READY) ## write what .venv holds to constraints.txt
	{ echo '# Every package of .venv, with its version. Made by `make constraints`.'; \
	  $(PIP) freeze --all --exclude-editable --exclude setuptools; } > constraints.tmp
	mv constraints.tmp constraints.txt
	touch $(READY)

constraints-heavy: $(HEAVY_READY) ## write what .venv-heavy holds beyond constraints.txt to constraints-heavy.txt
	{ echo '# Every package of .venv-heavy that constraints.txt has not. Made by `make constraints-heavy`.'; \
	  $(HEAVY_BIN)/python -m pip freeze --all --exclude-editable --exclude setuptools | grep -vxFf constraints.txt; } \
	  > constraints-heavy.tmp
	mv constraints-heavy.tmp constraints-heavy.txt
	touch $(HEAVY_READY)

clean: ## remove .venv, caches and builds; the data of `make dev` in .emp stays
	rm -rf .venv .venv-heavy build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src plugins tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +
