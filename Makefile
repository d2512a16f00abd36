# Everything a person or CI does with a checkout. Needs Python 3.11, 3.12 or 3.13 and make; the rest is made or installed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env demo up down status test test-quick faults fuzz mutants check requirements lock clean bench bench-full bench-tiny
# One recipe at a time: they share one environment.
.NOTPARALLEL:
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV
python := .venv/bin/python
bench = bin/environment && bin/environment --bench && PYTHONPATH=include:bin:tests:. $(python) -m benchmarks
ARGS ?=
MINUTES ?= 10

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

env: ## make .venv and install missing distribution packages; quick when nothing changed
	@bin/environment

demo: env ## a realistic delivery through a real Airflow, with live progress and a closing table
	@bin/demo $(ARGS)

up: env ## start the private PostgreSQL and Airflow of this checkout
	@bin/stack up

down: ## stop them; running tasks finish first
	@if [ -x $(python) ]; then bin/stack down; fi

status: ## what runs, and where
	@bin/stack status

test: ## every test; ARGS="-k name" for some of them
	@bin/environment --tests
	@$(python) -m pytest -n 2 $(ARGS)

test-quick: env ## only tests without Airflow, browser and faults, a minute or two
	@$(python) -m pytest -q -m "not stack and not airflow and not browser and not slow and not faults" $(ARGS)

faults: ## provoke every fault for real, half an hour as root, and rewrite docs/faults.md
	@bin/environment --tests
	@$(python) -m pytest -n 2 --faults -m fault --write-faults $(ARGS)

fuzz: ## search for bytes that our parsers do not bear, MINUTES=10 for each; what is found stays in .fuzz
	@bin/environment --tests
	@for target in $$(ls tests/fuzz/seeds); do \
	    mkdir -p .fuzz/$$target; \
	    $(python) tests/fuzz/fuzz.py $$target -max_total_time=$$(($(MINUTES) * 60)) -timeout=10 \
	        -artifact_prefix=.fuzz/$$target- .fuzz/$$target tests/fuzz/seeds/$$target; \
	done

mutants: ## break the modules that keep files safe, one small thing at a time; fails when no test notices. ARGS="--sample 999" for all
	@bin/environment --tests
	@$(python) tests/mutants.py $(ARGS)

requirements: ## run every test and rewrite docs/requirements.md
	@bin/environment --tests
	@$(python) -m pytest -n 2 --write-requirements

check: ## formatting, lint, types, layers, catalogue and compose file, under a minute
	@bin/environment
	@bin/check

bench: ## measure every stage beside its yardsticks, some ten minutes; ARGS="--only chain" for some of them
	@$(bench) --size small $(ARGS)

bench-full: ## the same at full size, hours: millions of rows, a real Airflow
	@$(bench) --size full $(ARGS)

bench-tiny: ## the same in two minutes, only to see that it works; fails when something is far too slow
	@$(bench) --size tiny --out .bench/tiny $(ARGS)

lock: env ## resolve requirements*.in into pins for Python 3.11 to 3.13
	@bin/lock

clean: ## stop everything and delete .orbitory (the private archive included), .bench and caches; .venv stays
	@if [ -x $(python) ]; then bin/stack clean; fi
	@rm -rf .bench .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
