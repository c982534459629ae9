# Every target sets up what it needs; caches live outside the checkout, in $METHODSECRET_CACHE
# (default: ~/.cache/methodsecret-operator), so that a clone stays clean.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
ifeq ($(PYTHON),)
$(error Python 3.11 or newer is needed: install it, or name one: make PYTHON=/path/to/python3.12)
endif
ifneq ($(METHODSECRET_CACHE),)
CACHE := $(METHODSECRET_CACHE)
else
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/methodsecret-operator
endif
VENV := $(shell "$(PYTHON)" -B dev/venv.py --path)
RUN  := "$(VENV)/bin/python"

export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)/emulator:$(CURDIR)
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache
# Nothing lands in the checkout, so it may be written, whatever the environment says; else each start compiles it all.
export PYTHONDONTWRITEBYTECODE :=
export RUFF_CACHE_DIR := $(CACHE)/ruff
export MYPY_CACHE_DIR := $(CACHE)/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis
export PATH := $(VENV)/bin:$(PATH)
PYTEST := $(RUN) -m pytest -p no:cacheprovider

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: ## the Python environment, outside the checkout
	@"$(PYTHON)" -B dev/venv.py > /dev/null

.PHONY: controlplane
controlplane: venv ## etcd, kube-apiserver, kube-controller-manager, kubectl: found, downloaded or built
	@$(RUN) -m dev.controlplane ensure

.PHONY: tools
tools: venv ## helm, kubeconform, actionlint, promtool, gitops: built with Go where the cache lacks them
	@$(RUN) -m dev.tools --quiet

.PHONY: demo
demo: venv controlplane ## the operator at work on a real kube-apiserver (KEEP=1 leaves it up)
	@$(RUN) -m dev.demo $(if $(KEEP),--keep)

# Most tests wait for processes that they started, so two run side by side, each with a control plane of
# its own; the tests of one file stay together, as they share what is slow to start. PROCESSES=0: one by one.
PROCESSES ?= 2

.PHONY: test
test: venv controlplane ## every test, on a real kube-apiserver and the emulator, with coverage
	@$(RUN) -m dev.tools --quiet --if-possible
	@kept="$$(mktemp -d)"; trap 'rm -rf "$$kept"' EXIT; \
	COVERAGE_FILE="$$kept/coverage" $(PYTEST) -n $(PROCESSES) --dist loadfile --basetemp="$$kept/t" \
		--cov --cov-report=term $(ARGS)

.PHONY: soak
soak: venv controlplane ## what takes long: every kill with Method's keys forgotten too, silent watches, long histories
	@SOAK=1 $(PYTEST) -n $(PROCESSES) --dist worksteal tests/faults $(ARGS)

.PHONY: golden
golden: venv controlplane ## record tests/golden/<version>: what this version leaves at rest; once before each release
	@$(PYTEST) tests/golden/record.py $(ARGS)

.PHONY: bench
bench: controlplane ## the operator's figures beside the bare floor: some 45 minutes (QUICK=1: counts and ratios, 3)
	@"$(PYTHON)" -B dev/venv.py --bench > /dev/null
	@"$$("$(PYTHON)" -B dev/venv.py --bench --path)/bin/python" -m bench $(if $(QUICK),--quick) $(ARGS)

.PHONY: e2e
e2e: venv ## chart and images in a real cluster: on kind, or in that of E2E_KUBECONFIG (E2E_IMAGE, E2E_EMULATOR_IMAGE)
	@$(RUN) -m dev.e2e $(ARGS)

.PHONY: unit
unit: venv ## the tests that need no control plane
	@kept="$$(mktemp -d)"; trap 'rm -rf "$$kept"' EXIT; \
	$(PYTEST) --basetemp="$$kept/tmp" -m "not cluster" tests/unit $(ARGS)

.PHONY: contract
contract: venv ## the emulator's contract, held against the real API: METHOD_API_KEY=… METHOD_ENVIRONMENT=sandbox|dev
	@$(PYTEST) -m live tests/contract $(ARGS)

.PHONY: lint
lint: venv ## ruff, formatting, types, import floors
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports --cache-dir "$(CACHE)/import-linter"

.PHONY: format
format: venv ## format the code and mend what ruff can mend
	@ruff format .
	@ruff check --fix .

.PHONY: docs
docs: venv ## docs/reference and the dashboard, made anew from their sources
	@$(RUN) -B -m dev.reference
	@$(RUN) -B -m dev.dashboard

.PHONY: picture
picture: venv controlplane ## docs/demo.svg and docs/dashboard.svg, drawn from runs of the operator (3 minutes)
	@$(RUN) -B -m dev.picture
	@"$(PYTHON)" -B dev/venv.py --bench > /dev/null
	@"$$("$(PYTHON)" -B dev/venv.py --bench --path)/bin/python" -B -m dev.dashboard_picture

.PHONY: wheel-test
wheel-test: venv ## build the wheel, install it in an empty environment, run the unit tests against it
	@$(RUN) -B -m dev.wheel_test

.PHONY: chart-docs
chart-docs: venv ## write the table of values in the chart's README
	@$(RUN) -B -m dev.chart_docs

.PHONY: lock
lock: ## refresh constraints*.txt from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml -o constraints.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group dev -c constraints.txt -o constraints-dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--group build -c constraints-dev.txt -o constraints-build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group bench -c constraints-dev.txt -o constraints-bench.txt
