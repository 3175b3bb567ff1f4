# `make run` and `make test` need Python 3.11+ and nothing else; they install into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools that only read the code must not need the servers that the caller's environment names.
ALONE := env -u DATABASE_URL -u REDIS_URL DATA_DIR=build/check
BIOME := build/biome/node_modules/.bin/biome
BIOME_COMMAND := check --error-on-warnings
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
# Where the database matters, unless ARGS names a file or folder. Who may what is the same on every database.
ON_POSTGRES = $(if $(findstring tests/,$(ARGS)),,tests/accounts tests/api tests/generations --ignore-glob='*/test_access.py')
FAST = $(if $(findstring tests/,$(ARGS)),,tests/accounts tests/api tests/comfy tests/generations tests/simulator)

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast test-sdk-py test-sdk-js lint biome types check bench chaos fuzz format lock docs clean

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.base ## Install what the product needs into .venv

run: install ## Start everything in one process on http://127.0.0.1:8000 (PORT, DATA_DIR, COMFYUI_URLS, …)
	@$(BIN)/python manage.py standalone

# DATABASE_URL (PostgreSQL), REDIS_URL and a Chromium let the tests that need them run; CI requires them.
# A part may have no test that PostgreSQL matters for: pytest's exit code is 5 then.
test: install $(VENV)/.dev ## Run the whole suite (or a part: ARGS="-k webhook", ARGS=tests/api)
	$(PYTEST) --durations=20 --durations-min=2 $(ARGS)
	@if [ -n "$$DATABASE_URL" ]; then \
	  echo "Once more, on PostgreSQL:"; \
	  TEST_BACKEND=postgres $(PYTEST) --durations=20 --durations-min=2 $(ON_POSTGRES) $(ARGS) \
	    || { status=$$?; $(if $(ARGS),[ $$status = 5 ],exit $$status); }; \
	fi

test-fast: install $(VENV)/.dev ## Run the tests that need no database, no other server and no seconds: under a minute on two quiet cores
	$(PYTEST) -m fast $(FAST) $(ARGS)

# Downloads the SDK's source distribution, which alone has that test.
test-sdk-py: $(VENV)/.dev ## The end-to-end test of the official Python SDK, against a server of its own
	$(BIN)/python -m tests.sdk_py

# Needs Node 20 or newer with npm.
test-sdk-js: $(VENV)/.dev ## The official TypeScript SDK, and the documentation's TypeScript, against a server of its own
	$(BIN)/python -m tests.sdk_js

lint: $(VENV)/.dev biome ## Style, imports, templates, scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/djlint --lint comfysaas/templates

# Scripts and style sheets. A machine without npm skips them; CI fails without it.
biome:
	@if command -v npm >/dev/null; then \
	  $(MAKE) -s $(BIOME) && $(BIOME) $(BIOME_COMMAND) static package.json biome.jsonc; \
	elif [ -n "$$CI" ]; then \
	  echo "Checking scripts and style sheets needs npm: install Node 20 or newer." >&2; exit 1; \
	else \
	  echo "Scripts and style sheets were not checked: install Node 20 or newer with npm to do so."; \
	fi

$(BIOME): package.json
	@mkdir -p build/biome && cp package.json build/biome/
	@cd build/biome && npm install --no-package-lock --no-audit --no-fund --loglevel error
	@touch $@

types: $(VENV)/.dev ## mypy, strict
	$(ALONE) $(BIN)/mypy

check: lint types ## Everything CI checks besides the tests
	$(ALONE) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run  # no database is fine
	$(ALONE) $(BIN)/python manage.py configuration --check
	$(ALONE) $(BIN)/python manage.py openapi --check

bench: $(VENV)/.dev ## Measure; prints tables and writes build/bench.json
	$(BIN)/python -m tests.benchmarks

# Needs DATABASE_URL (a database of its own is made there), and redis-server on the path.
chaos: $(VENV)/.dev ## A thousand generations while everything around them breaks (OPTIONS="--seed 7 …")
	$(BIN)/python -m tests.chaos $(OPTIONS)

fuzz: $(VENV)/.dev ## Change good files and requests until a parser fails (OPTIONS="--minutes 5 --targets import,bodies")
	$(BIN)/python -m tests.fuzz $(OPTIONS)

format: $(VENV)/.dev ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@$(MAKE) --no-print-directory biome BIOME_COMMAND="check --write"

docs: $(VENV)/.dev ## Regenerate docs/configuration.md and docs/openapi.json
	$(ALONE) $(BIN)/python manage.py configuration
	$(ALONE) $(BIN)/python manage.py openapi

lock: $(VENV)/.dev ## Pin the newest fitting versions, with hashes (needs uv)
	for name in pip base dev; do uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" requirements/$$name.in -o requirements/$$name.txt; done

clean: ## Remove what was built; keeps your data in var/
	rm -rf $(VENV) build staticfiles .mypy_cache .ruff_cache .pytest_cache

# Python 3.11 compiles install.py; an older one should say so itself.
$(VENV)/.base $(VENV)/.dev: $(VENV)/.%: requirements/%.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. Install Python 3.11 or newer, or set PYTHON=/path/to/it." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + ". Set PYTHON=/path/to/a/newer/one.")'
	@$(PYTHON) requirements/install.py $(VENV) $<
	@touch $@

$(VENV)/.dev: | $(VENV)/.base
