# `make` lists the targets. Everything runs in .venv, which is made on first use and again when the requirements change.

PYTHON ?= python3
CONCEPT ?= French horn
DEVICE ?= cpu
SECONDS ?= 36000
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false
# the tests start many processes, and each would compile the library anew
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/.ready

OLDEST := .venv-oldest
SITE := .venv-docs

.PHONY: help setup demo bench docs guard pipelines faults test test-slow test-ray test-oldest train clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) ## make .venv with everything that the targets below need

$(READY): pyproject.toml constraints.txt
	@echo "setting up .venv (a few minutes the first time)" >&2
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@# what is imported is compiled then; most of what torch and transformers bring never is
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt -e ".[diorama,dev]"
	@# one file of it, Wan's native T5, is tried; what it depends on is not needed for that
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --no-deps diffsynth==1.1.9 \
		|| echo "diffsynth could not be installed; the tests of Wan's native T5 are skipped" >&2
	@touch $@

demo: $(READY) ## erase a concept and measure it: make demo CONCEPT=church
	@$(BIN)/unseen demo "$(CONCEPT)"

bench: $(READY) ## measure everything that docs/results-*.md report (hours; can be interrupted)
	@$(BIN)/unseen evaluate all --results docs/results.md

guard: $(READY) ## every known way past attached erasers
	@OMP_NUM_THREADS=1 $(BIN)/python -m unseen.bench.ways --results docs/results-guard.md

faults: $(READY) ## kill, starve and damage whatever can be, and count what was survived
	@OMP_NUM_THREADS=1 $(BIN)/python -m unseen.bench.faults --results docs/results-faults.md

pipelines: $(READY) ## an eraser on tiny pipelines of every kind (six minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/pipeline_table --results docs/results-pipelines.md

$(SITE)/.ready: pyproject.toml
	@$(PYTHON) -m venv --clear $(SITE)
	@$(SITE)/bin/python -m pip install -qq --disable-pip-version-check "mkdocs>=1.6,<2" "mkdocs-material>=9.6" \
		"mkdocstrings[python]>=0.30"
	@touch $@

docs: $(SITE)/.ready ## the site in site/, strictly: a dead link or an undocumented name is an error
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

test: $(READY) ## lint, types, and every test that is not slow
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-logo > /dev/null || $(BIN)/lint-imports --no-logo
	@# the types are checked beside the tests, some of which wait for processes of their own
	@$(BIN)/mypy > .venv/types.txt 2>&1 & types=$$!; \
		OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"; tests=$$?; \
		wait $$types || { cat .venv/types.txt; exit 1; }; exit $$tests

test-slow: $(READY) ## every test, the slow ones too
	@$(BIN)/pytest

test-ray: $(READY) ## the tests on a local Ray cluster; installs the extra `ray` (80 MB)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[ray]"
	@$(BIN)/pytest tests/bench/test_engines.py tests/bench/test_killed.py -k ray

$(OLDEST)/.ready: pyproject.toml constraints-oldest.txt
	@$(PYTHON) -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python -m pip install -qq --disable-pip-version-check -c constraints-oldest.txt -e ".[diorama,dev]"
	@touch $@

test-oldest: $(OLDEST)/.ready ## what meets transformers and diffusers, on the oldest versions that are supported
	@$(OLDEST)/bin/pytest -m "not slow" tests/encoder tests/pipelines tests/runtime tests/baselines \
		tests/clear/test_eraser.py tests/cli/test_plan.py

train: $(READY) ## train Diorama: make train DEVICE=cuda SECONDS=640; on a processor it takes hours
	@$(BIN)/python -m unseen.diorama.training --device $(DEVICE) --seconds $(SECONDS)

clean: ## remove runs, builds and caches; .venv and checkpoints stay
	@rm -rf runs build dist site .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
