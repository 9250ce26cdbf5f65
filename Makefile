# Every target installs what it needs first: `make demo` works on a machine with Python 3.11 alone.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Bytecode once, not at each start: halves the time of importing Dagster.
export UV_COMPILE_BYTECODE := 1
# Two for each core: tests of runs wait for the processes that they start. On two cores all tests take
# 22 minutes so, and 31 with one for each.
TEST_PROCESSES := $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
# Files in the order of tests/conftest.py, the slow groups first. pytest-xdist's own order has the files with
# the fewest tests last; those are the slowest, and other processes would wait for them.
BY_FILE := --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: install ## Set up, generate three months of data, run everything, show the marts.
	ecommerce demo

.PHONY: dev
dev: install ## Start Dagster's web UI at http://127.0.0.1:3000.
	ecommerce dev

.PHONY: test
test: install ## Set up and run the tests.
	pytest --numprocesses $(TEST_PROCESSES) $(BY_FILE)

.PHONY: test-fast
test-fast: install ## Run the tests that take less than a minute together: no PostgreSQL, no processes.
	pytest -m "not slow" --numprocesses auto $(BY_FILE)

.PHONY: test-deploy
test-deploy: install ## Test the deployment: the processes of docker-compose.yml, without Docker.
	pytest tests/deploy

.PHONY: bench
bench: install ## Measure everything beside the alternatives (a quarter of an hour; writes docs/performance.md).
	python benchmarks/speed

.PHONY: lint
lint: install ## Style, types and the direction of imports.
	ruff check .
	ruff format --check .
	mypy
	mypy asset_specs
	lint-imports

.PHONY: generate-data
generate-data: install ## Write today's orders into the local database; where it has some, repair its sizes.
	generate-data

.PHONY: generate-data-scale
generate-data-scale: install ## Write today's orders, SCALE times as many (SCALE=10).
	generate-data --scale $(or $(SCALE),10)

.PHONY: generate-chaos
generate-chaos: install ## Make CHAOS percent of the sizes wrong (CHAOS=5).
	generate-data --chaos-percent $(or $(CHAOS),5)

.PHONY: db-migrate
db-migrate: install ## Create the tables of the source database.
	generate-data --migrate-only

.PHONY: db-reset
db-reset: install ## Drop the tables of the source database and create them anew.
	generate-data --reset

.PHONY: run
run: install ## Run the pipeline, or the assets with a tag (TAG=mart).
	ecommerce run $(if $(TAG),--tag "$(TAG)")

.PHONY: report
report: install ## Make the page with the shop's charts and open it.
	ecommerce report --open

.PHONY: validate
validate: install ## Read every file and report what is wrong.
	ecommerce validate

.PHONY: query
query: install ## Ask the warehouse (SQL="SELECT ..." or TABLE=mart.sales_daily).
	@ecommerce query $(if $(TABLE),--table "$(TABLE)",--sql "$(or $(SQL),SHOW ALL TABLES)")

.PHONY: mart-list
mart-list: install ## List the marts and their sizes.
	@ecommerce query "SELECT table_name AS mart, estimated_size AS rows, column_count AS columns FROM duckdb_tables() WHERE schema_name = 'mart' ORDER BY mart"

.PHONY: docker-up
docker-up: ## Start the source database in Docker (passwords in .env: docs/deployment.md).
	docker compose up --detach --wait postgres

.PHONY: docker-down
docker-down: ## Stop it; its data stays.
	docker compose down

.PHONY: install
install: .venv/installed ## Install everything into .venv.

# Its own modules are compiled too: where PYTHONDONTWRITEBYTECODE is set, each process would need half a second.
.venv/installed: requirements.lock pyproject.toml scripts/uv
	scripts/uv venv --quiet --allow-existing --python '>=3.11,<3.15' .venv
	scripts/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	scripts/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	$(BIN)/python -m compileall -q ecommerce_dagster data_generator
	@touch $@

.PHONY: lock
lock: ## Resolve the dependencies anew and pin them.
	scripts/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --extra dev --output-file requirements.lock pyproject.toml
	scripts/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --extra alerts --extra celery --extra k8s --extra report \
		--extra demo --extra lakehouse --extra metrics --extra postgres --extra python --extra webserver \
		--constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml

.PHONY: licences
licences: install ## List the licences of the dependencies in docs/licences.md.
	python scripts/licences > docs/licences.md

.PHONY: reference
reference: install ## Write docs/reference.md from the docstrings.
	python scripts/reference > docs/reference.md

.PHONY: audit
audit: ## Compare the locked dependencies with the advisories of osv.dev.
	scripts/uv tool run --quiet pip-audit --strict --require-hashes --disable-pip \
		--vulnerability-service osv --requirement requirements.lock

# The reader, the warehouse, and what Dagster shows of a pipeline. What the own event log needs of
# Dagster's private parts is only there in the versions of _compat.py; others get Dagster's own log.
PYTHON ?= 3.11
TESTS_OF_VERSIONS := tests/bruin tests/warehouse tests/orchestration/test_compat.py \
	tests/orchestration/test_guest.py tests/orchestration/test_definitions.py tests/orchestration/test_checks.py \
	-k "not methods_of_the_storage and not version_is_one_that_was_tried"

define test-versions
	@mkdir -p .ecommerce
	scripts/uv pip compile --quiet --python-version $(PYTHON) --no-header --extra dev --resolution $(2) --upgrade \
		--output-file .ecommerce/$(1).txt pyproject.toml
	scripts/uv venv --quiet --allow-existing --python $(PYTHON) .ecommerce/$(1)
	scripts/uv pip sync --quiet --python .ecommerce/$(1)/bin/python .ecommerce/$(1).txt
	scripts/uv pip install --quiet --no-deps --python .ecommerce/$(1)/bin/python --editable .
	.ecommerce/$(1)/bin/python -m pytest --numprocesses auto $(BY_FILE) $(TESTS_OF_VERSIONS)
endef

.PHONY: test-lowest
test-lowest: install ## Test with the lowest versions that pyproject.toml allows (PYTHON=3.11).
	$(call test-versions,lowest,lowest-direct)

.PHONY: test-newest
test-newest: install ## Test with the newest versions that pyproject.toml allows (PYTHON=3.11).
	$(call test-versions,newest,highest)
