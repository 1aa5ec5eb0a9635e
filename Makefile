# Every verb prepares what it needs by itself, on a fresh machine too.
# ARGS reaches the program behind a verb:  make demo ARGS="--say 'sit down'"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test chaos soak check fix docs docs-serve wheel pythons screenshot bench lock clean

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

docs: ## Build the documentation as a site, build/site; a link that leads nowhere fails it
	@scripts/setup dev
	@$(BIN)/python scripts/write_reference.py
	@$(BIN)/python scripts/build_site.py

docs-serve: docs ## That, and show it at http://127.0.0.1:8001
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8001

soak: ## Run a robot for ten thousand ticks of random faults, in virtual time
	@scripts/setup dev
	@$(BIN)/python -m tests.soak $(ARGS)

wheel: ## Build wheel and sdist, check them, and use the wheel beside what OM1 pins
	@scripts/setup dev
	@$(BIN)/python scripts/try_wheel.py $(ARGS)

pythons: ## Run what is fast of the tests under every other Python here (ARGS=--whole: all tests)
	@scripts/setup dev
	@$(BIN)/python scripts/try_pythons.py $(ARGS)

screenshot: ## Take the picture of the page that the README shows, in a real browser
	@scripts/setup dev
	@$(BIN)/python -m pytest -q tests/web/test_chromium.py -k picture
	@cp build/page.png docs/page.png

bench: setup ## Compare with other clients, and measure our own code (ARGS="--quick")
	@$(BIN)/python -m bench $(ARGS)

lock: ## Rebuild requirements/ from pyproject.toml (UPGRADE=1: newest versions)
	@scripts/setup dev
	@$(LOCK) --group build --output-file requirements/all.txt >/dev/null
	@$(LOCK) --group build --group dev --constraint requirements/all.txt \
		--output-file requirements/dev.txt >/dev/null
	@$(COMPILE) pyproject.toml --extra mistral --extra llama --constraint requirements/all.txt \
		--output-file requirements/bench/reflexarc.txt >/dev/null
	@for peer in requirements/bench/*.in; do \
		$(COMPILE) $$peer --output-file $${peer%.in}.txt >/dev/null || exit 1; done
	@$(BIN)/python scripts/check_lock.py

clean: ## Remove everything that make made
	@rm -rf .venv build dist .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
