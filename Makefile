# `make` lists the targets. Each sets up what it needs in .venv; only Python 3.11+ and make have to be there.
PYTHON ?= python3
SERVICES := checkout webhooks orders notifications inventory
PACKAGES := libs/events $(SERVICES:%=services/%)
CODE := libs/events/events $(foreach service,$(SERVICES),services/$(service)/$(service)) demo bench tools
TESTS := libs/events/tests $(SERVICES:%=services/%/tests) demo/tests bench/tests tests
UNIT := libs/events/tests/unit $(SERVICES:%=services/%/tests/unit) tests/prose tests/deploy tests/faults/test_auditor.py
READY := .venv/.ready
# Development's packages include the demo's: the smaller set is installed only where the larger one is not.
DEMO_READY := $(if $(wildcard $(READY)),$(READY),.venv/.demo-ready)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke dev check unit test test-docker faults bench docs lint format types types-code types-tests lock migration secrets up down logs smoke-compose test-compose clean

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.venv/.ready: requirements/dev.txt
.venv/.demo-ready: requirements/demo.txt
.venv/.ready .venv/.demo-ready: $(PACKAGES:%=%/pyproject.toml) libs/events/requirements.in
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clozit Payments needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --require-hashes -r $(filter requirements/%.txt,$^)
# compat: a plain path, which mypy can follow from the tests to the packages.
	$(PIP_INSTALL) --no-deps --no-build-isolation --config-settings editable_mode=compat $(PACKAGES:%=-e ./%)
	$(BIN)/pip check
	@touch $@

setup: $(READY) ## make .venv with everything in it

demo: $(DEMO_READY) ## run everything in one process and say where to click
	@$(BIN)/python -m demo

smoke: $(DEMO_READY) ## the same with scripted purchases; checks every effect and exits
	@$(BIN)/python -m demo --smoke

dev: $(READY) ## run one service with reload against private servers: make dev SERVICE=orders
	@test -n "$(SERVICE)" || { echo "usage: make dev SERVICE=orders"; exit 2; }
	@exec $(BIN)/python -m tools.dev $(SERVICE)

# Lint, types and unit tests use the cores beside each other; -O keeps the lines of each together (make 3 has no -O).
check: $(READY) ## the inner loop, under a minute: lint, types, unit tests
	@$(MAKE) --no-print-directory --jobs 3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) lint types unit

unit: $(READY) ## tests that need no server and open no socket
	$(BIN)/python -m pytest -n0 -q -m "not servers" $(UNIT) $(ARGS)

# Three on two cores, since many tests wait; conftest.py says which of them may run beside each other.
PROCESSES ?= 3

test: $(READY) ## all tests, on private PostgreSQL and RabbitMQ; ARGS=--cov measures branch coverage
	$(BIN)/python -m pytest -n $(PROCESSES) $(ARGS)

# What the provider concerns: a cluster is made of programs on the machine only, units and the browser need no server.
test-docker: $(READY) ## what needs servers, with Docker's PostgreSQL 17 and RabbitMQ 4
	CI=true TEST_SERVERS=docker $(BIN)/python -m pytest libs/events/tests/integration services/*/tests/integration tests/e2e tests/faults $(ARGS)

faults: $(READY) ## the fault suite with its table, kept in bench/results/faults.md; FAULTS_EVENTS=100000 adds the long run
	FAULTS_ALL=1 FAULTS_REPORT=bench/results/faults.md $(BIN)/python -m pytest tests/faults -s -p no:randomly $(ARGS)

bench: $(READY) ## ingest and pipeline beside their peers and limits; ARGS="ingest --seconds 2" narrows
	$(BIN)/python -m bench $(ARGS)

docs: $(READY) ## write from the code docs/events.md, asyncapi.json, configuration.md, and the alerts for Kubernetes
	$(BIN)/python -m tools.event_docs
	$(BIN)/python -m tools.configuration_docs
	$(BIN)/python -m tools.kubernetes_alerts

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: types-code types-tests ## mypy, strict, over the code and its tests

types-code: $(READY)
	$(BIN)/mypy --exclude /tests/ $(CODE)

# Test files repeat their names, so their modules are named from the root, as pytest names them. A cache of its own:
# seen from here the code is installed packages.
types-tests: $(READY)
	$(BIN)/mypy --cache-dir .mypy_cache/tests --explicit-package-bases $(TESTS)

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(LOCKARGS)

lock: ## compile all requirements.txt; LOCKARGS=--upgrade takes newer versions
	@test -x $(BIN)/uv || $(MAKE) setup # only then: what a lock lacks cannot be set up before it is made
	$(LOCK) requirements/dev.in -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt requirements/demo.in -o requirements/demo.txt
	$(LOCK) -c requirements/dev.txt requirements/build.in -o requirements/build.txt
	$(LOCK) -c requirements/dev.txt demo/requirements.in -o demo/requirements.txt
	@for service in $(SERVICES); do \
		echo "services/$$service/requirements.txt"; \
		$(LOCK) -c requirements/dev.txt services/$$service/requirements.in -o services/$$service/requirements.txt || exit 1; \
	done

migration: $(READY) ## write a service's next revision: make migration SERVICE=orders NAME=add_x
	@test -n "$(SERVICE)" -a -n "$(NAME)" || { echo "usage: make migration SERVICE=orders NAME=add_x"; exit 2; }
	@$(BIN)/python -m tools.new_migration $(SERVICE) $(NAME)

# The composed system. PROFILES=demo brings a fake Stripe and a shop; with one's own account: PROFILES= STRIPE_API_KEY=…
PROFILES ?= demo
COMPOSE = COMPOSE_PROFILES=$(PROFILES) docker compose
DEMO_SETTINGS := STRIPE_API_BASE=http://fake-stripe:12111 ABANDONED_CART_DELAY=2
ifneq (,$(findstring demo,$(PROFILES)))
COMPOSE := $(DEMO_SETTINGS) $(COMPOSE)
endif

secrets: ## make what is missing of the composed system's secrets, in .secrets/
	@$(PYTHON) deploy/make_secrets.py

export REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

up: secrets ## the whole system in containers, with the demo; PROFILES=demo,observe adds Prometheus and Grafana
	$(COMPOSE) up --build --wait

down: ## stop and remove the containers; the data stay (VOLUMES=-v removes them too)
	COMPOSE_PROFILES=demo,observe docker compose down $(VOLUMES)

smoke-compose: $(DEMO_READY) ## what `make smoke` does, through the containers of `make up`
	@$(BIN)/python -m demo --smoke --composed

test-compose: $(READY) secrets ## the composed system for real: buys, scales, kills and restarts it under load, then removes it
	$(DEMO_SETTINGS) COMPOSE_TESTS=1 $(BIN)/python -m pytest tests/compose -n0 -p no:cacheprovider $(ARGS)

logs: ## follow the containers' logs; SERVICE=orders-worker for one
	docker compose logs --follow --tail 100 $(SERVICE)

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
