# Every verb prepares what it needs by itself, on a fresh machine too.
# ARGS reaches the program behind a verb:  make demo ARGS="--say 'sit down'"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test chaos soak check fix screenshot bench bench-transports lock clean

ARGS ?=
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-index-url --exclude-newer "7 days" \
	--custom-compile-command "make lock" --quiet $(if $(UPGRADE),--upgrade)
LOCK := $(COMPILE) pyproject.toml --all-extras

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with every extra, and fetch the on-board model
	@scripts/setup

demo: setup ## Show a robot on a page, which hears what you say; no key, no network
	@$(BIN)/reflexarc run config/spot_onboard.json5 --open $(ARGS)

test: ## Run the tests with coverage (with ARGS: those tests only, without)
	@scripts/setup dev
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),--cov --numprocesses auto --dist worksteal)

chaos: ## Play 48 faults against a robot that must act within 3 s
	@scripts/setup dev
	@$(BIN)/python -m tests.chaos $(ARGS)

check: ## Check format, lint, docstrings, types and locks; change nothing
	@scripts/setup dev
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make fix' to format these files."; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/basedpyright
	@$(BIN)/python scripts/check_lock.py

fix: ## Format, and mend what can be mended by rule
	@scripts/setup dev
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

soak: ## Run a robot for ten thousand ticks of random faults, in virtual time
	@scripts/setup dev
	@$(BIN)/python -m tests.soak $(ARGS)

screenshot: ## Take the picture of the page that the README shows, in a real browser
	@scripts/setup dev
	@$(BIN)/python -m pytest -q tests/web/test_chromium.py -k picture
	@cp build/page.png docs/page.png

bench: setup ## Measure time to first action, overhead and prefix reuse
	@$(BIN)/reflexarc bench --config config/spot_onboard.json5 $(ARGS)

bench-transports: ## Measure what our transports and the vendors' SDKs cost, on loopback
	@scripts/setup bench
	@$(BIN)/python bench/transports.py $(ARGS)

lock: ## Rebuild requirements/ from pyproject.toml (UPGRADE=1: newest versions)
	@scripts/setup dev
	@$(LOCK) --group build --output-file requirements/all.txt >/dev/null
	@$(LOCK) --group build --group dev --constraint requirements/all.txt \
		--output-file requirements/dev.txt >/dev/null
	@$(COMPILE) --group bench --constraint requirements/all.txt \
		--output-file requirements/bench.txt >/dev/null
	@$(BIN)/python scripts/check_lock.py

clean: ## Remove everything that make made
	@rm -rf .venv build dist .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
