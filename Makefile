# `make` lists the targets. Each one installs what it needs in .venv. You need only Python 3.11+ and make.
PYTHON ?= python3
SERVICES := checkout webhooks orders notifications inventory
PACKAGES := libs/events $(SERVICES:%=services/%)
CODE := libs/events/events $(foreach service,$(SERVICES),services/$(service)/$(service)) demo bench tools
TESTS := libs/events/tests $(SERVICES:%=services/%/tests) demo/tests bench/tests tests
UNIT := libs/events/tests/unit $(SERVICES:%=services/%/tests/unit) bench/tests/unit tests/prose tests/deploy tests/faults/test_auditor.py tests/upgrade/test_revisions.py
READY := .venv/.ready
# The demo needs fewer packages. They are installed only if the development packages are not.
DEMO_READY := $(if $(wildcard $(READY)),$(READY),.venv/.demo-ready)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke dev check unit test test-docker faults upgrade gameday fuzz simulate simulate-twice plans bench soak docs crds lint format types types-code types-tests lock migration migration-times configure secrets rotate up down logs smoke-compose test-compose clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.venv/.ready: requirements/dev.txt
.venv/.demo-ready: requirements/demo.txt
.venv/.ready .venv/.demo-ready: $(PACKAGES:%=%/pyproject.toml) libs/events/requirements.in
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clozit Payments needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --require-hashes -r $(filter requirements/%.txt,$^)
# compat: a plain path, so that mypy finds the packages from the tests.
	$(PIP_INSTALL) --no-deps --no-build-isolation --config-settings editable_mode=compat $(PACKAGES:%=-e ./%)
	$(BIN)/pip check
	@touch $@

setup: $(READY) ## create .venv with all development packages

demo: $(DEMO_READY) ## run everything in one process and print where to click
	@$(BIN)/python -m demo

smoke: $(DEMO_READY) ## run scripted purchases through the demo and check every effect
	@$(BIN)/python -m demo --smoke

dev: $(READY) ## run one service with reload on private servers: make dev SERVICE=orders
	@test -n "$(SERVICE)" || { echo "usage: make dev SERVICE=orders"; exit 2; }
	@exec $(BIN)/python -m tools.dev $(SERVICE)

# Lint, types and unit tests run in parallel. -O keeps the output of each together; make 3 has no -O.
check: $(READY) ## lint, types and unit tests, in under a minute
	@$(MAKE) --no-print-directory --jobs 3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) lint types unit

unit: $(READY) ## run the tests that need no server
	$(BIN)/python -m pytest -n0 -q -m "not servers" $(UNIT) $(ARGS)

# Three processes on two cores, because many tests wait. conftest.py says which tests can run in parallel.
PROCESSES ?= 3

test: $(READY) ## run all tests on private PostgreSQL and RabbitMQ; ARGS=--cov measures branch coverage
	$(BIN)/python -m pytest -n $(PROCESSES) $(ARGS)

# Without the cluster tests, which need servers on the machine, and the tests that need no server.
test-docker: $(READY) ## run the tests that need servers on Docker's PostgreSQL 17 and RabbitMQ 4
	CI=true TEST_SERVERS=docker $(BIN)/python -m pytest libs/events/tests/integration services/*/tests/integration tests/e2e tests/faults $(ARGS)

faults: $(READY) ## run the fault suite, write bench/results/faults.md; FAULTS_EVENTS=100000 adds a long run
	FAULTS_ALL=1 FAULTS_REPORT=bench/results/faults.md $(BIN)/python -m pytest tests/faults -s -p no:randomly $(ARGS)

upgrade: $(READY) ## upgrade from the previous release's real code and go back, while customers buy
	UPGRADE=1 $(BIN)/python -m pytest tests/upgrade -n0 -s -p no:randomly $(ARGS)

gameday: $(READY) ## break the running system in 14 ways, check that one right page comes; writes bench/results/gameday.md
	GAMEDAY=1 GAMEDAY_REPORT=bench/results/gameday.md $(BIN)/python -m pytest tests/gameday -n0 -s -p no:randomly $(ARGS)

SEEDS ?= 200

simulate: $(READY) ## play SEEDS=200 simulated worlds, replay SEED=7, or break each guard with MUTATIONS=1000
	$(BIN)/python -m tests.simulation$(if $(MUTATIONS),.mutations $(MUTATIONS) 2,$(if $(PLAN), --plan '$(PLAN)',$(if $(SEED), --seed $(SEED), --seeds $(SEEDS)))) $(ARGS)

simulate-twice: $(READY) ## compare the traces of 20 worlds with those on another Python, if there is one
	$(BIN)/python -m tests.simulation.second_python 20

fuzz: $(READY) ## fuzz all routes, write bench/results/fuzz.md; FUZZ_REQUESTS, FUZZ_SEED, FUZZ_EXAMPLES
	FUZZ_REQUESTS=$${FUZZ_REQUESTS:-100000} FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-50} FUZZ_REPORT=bench/results/fuzz.md \
		$(BIN)/python -m pytest tests/fuzz -n0 -s -p no:randomly $(ARGS)

PLANS_ROWS ?= 1000000

plans: $(READY) ## explain every list, job, claim and command on tables of 10^6 rows; PLANS_ROWS=100000 is faster
	PLANS_ROWS=$(PLANS_ROWS) $(BIN)/python -m pytest tests/plans -n0 -q -s -p no:randomly --timeout 3600 $(ARGS)

bench: $(READY) ## measure ingest and pipeline beside other libraries; ARGS="ingest --seconds 2" runs a part
	$(BIN)/python -m bench $(ARGS)

MINUTES ?= 60
RATE ?= 50

soak: $(READY) ## run idle and at RATE=50 events/s for MINUTES=60, write bench/results/soak.md; ARGS=idle runs one
	SOAK=1 $(BIN)/python -m pytest -n0 -q bench/tests -k soak
	$(BIN)/python -m bench.soak --minutes $(MINUTES) --rate $(RATE) $(ARGS)

docs: $(READY) ## generate docs/events.md, asyncapi.json, configuration.md, alerts for Kubernetes, the chart
	$(BIN)/python -m tools.event_docs
	$(BIN)/python -m tools.asyncapi
	$(BIN)/python -m tools.configuration_docs
	$(BIN)/python -m tools.kubernetes_alerts
	$(BIN)/python -m tools.helm_chart

crds: $(READY) ## check the resources of Kubernetes operators with their CRDs: make crds CRDS=folder
	@test -n "$(CRDS)" || { echo "usage: make crds CRDS=folder, with <operator>-<version>/*.yaml in it"; exit 2; }
	$(BIN)/python -m tools.operator_fields $(CRDS)

lint: $(READY) ## check rules and format with ruff, and GitHub's workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --no-progress --quiet .github

format: $(READY) ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: types-code types-tests ## check the types of code and tests with mypy --strict

types-code: $(READY)
	$(BIN)/mypy --exclude /tests/ $(CODE)

# Test files of different folders have the same names, so their modules are named from the root, as pytest does. They
# have a separate cache, because they see the code as installed packages.
types-tests: $(READY)
	$(BIN)/mypy --cache-dir .mypy_cache/tests --explicit-package-bases $(TESTS)

LOCKED := requirements/dev.txt requirements/audit.txt demo/requirements.txt $(SERVICES:%=services/%/requirements.txt)

# --strict: a package that the database does not know fails, too.
.PHONY: audit
audit: ## ask a public database for advisories about the locked packages
	test -x .venv/audit/bin/pip || $(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
	.venv/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(LOCKED:%=-r %) $(ARGS)

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --no-annotate $(LOCKARGS)

lock: ## compile all requirements.txt; LOCKARGS=--upgrade uses newer versions
	@test -x $(BIN)/uv || $(MAKE) setup # only if uv is missing: an incomplete lock file would make setup fail
	$(LOCK) requirements/dev.in -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt requirements/demo.in -o requirements/demo.txt
	$(LOCK) -c requirements/dev.txt requirements/build.in -o requirements/build.txt
	$(LOCK) -c requirements/dev.txt requirements/audit.in -o requirements/audit.txt
	$(LOCK) -c requirements/dev.txt demo/requirements.in -o demo/requirements.txt
	@for service in $(SERVICES); do \
		echo "services/$$service/requirements.txt"; \
		$(LOCK) -c requirements/dev.txt services/$$service/requirements.in -o services/$$service/requirements.txt || exit 1; \
	done

migration: $(READY) ## write a service's next migration: make migration SERVICE=orders NAME=add_x
	@test -n "$(SERVICE)" -a -n "$(NAME)" || { echo "usage: make migration SERVICE=orders NAME=add_x"; exit 2; }
	@$(BIN)/python -m tools.new_migration $(SERVICE) $(NAME)

migration-times: $(READY) ## measure each migration on tables of 10^6 rows, write bench/results/migrations.md; ARGS="--rows 10000"
	$(BIN)/python -m tests.upgrade.times $(ARGS)

# From the files of the commit alone: a leftover build/ would put deleted modules into a wheel.
.PHONY: wheels version
wheels: ## build the wheels of the commit in dist/, with the license in each
	rm -rf dist
	test -x .venv/build/bin/pip || $(PYTHON) -m venv .venv/build
	.venv/build/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@set -e; sources=$$(mktemp -d); trap 'rm -rf "$$sources"' EXIT; \
	git archive HEAD libs services LICENSE | tar -x -C "$$sources"; \
	for package in $(PACKAGES); do \
		cp "$$sources/LICENSE" "$$sources/$$package/"; \
		SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .venv/build/bin/pip wheel --quiet --disable-pip-version-check \
			--no-deps --no-index --no-build-isolation -w dist "$$sources/$$package"; \
	done; \
	for wheel in dist/*.whl; do $(PYTHON) -m zipfile --list "$$wheel" | grep -q licenses/LICENSE; echo "$$wheel"; done

version: ## write a version to all files that have one: make version VERSION=0.2.0
	@test -n "$(VERSION)" || { echo "usage: make version VERSION=0.2.0"; exit 2; }
	@$(PYTHON) tools/release.py write $(VERSION)

# The system in containers. Its settings are in .env, which Docker Compose reads for every command.
configure: ## write the settings and secrets of the containers: asks, or make configure LIVEMODE=true SHOP_URL=…
	@$(PYTHON) deploy/configure.py

secrets: ## write the missing secrets of the containers to .secrets/
	@$(PYTHON) deploy/make_secrets.py

rotate: ## replace a secret and restart the containers that use it: make rotate SECRET=orders_database_url
	@$(PYTHON) deploy/rotate_secret.py $(SECRET)

export REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

up: ## start the whole system in containers; without settings, the demo. PROFILES=demo,observe adds Prometheus and Grafana
	@$(PYTHON) deploy/configure.py --check
	@$(PYTHON) deploy/make_secrets.py
	docker compose up --build --wait

down: ## stop and remove the containers; VOLUMES=-v removes the data, too
	COMPOSE_PROFILES=demo,observe docker compose down $(VOLUMES)

smoke-compose: $(DEMO_READY) ## run `make smoke` through the containers of `make up`
	@$(BIN)/python -m demo --smoke --composed

test-compose: $(READY) ## test the containers under load: purchases, kills, and every command of docs/operations.md
	COMPOSE_TESTS=1 $(BIN)/python -m pytest tests/compose -n0 -p no:cacheprovider $(ARGS)
	COMPOSE_TESTS=1 $(BIN)/python -m pytest tests/operations -n0 -s -p no:cacheprovider $(ARGS)

logs: ## follow the containers' logs; SERVICE=orders-worker for one of them
	docker compose logs --follow --tail 100 $(SERVICE)

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
