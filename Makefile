# `make circuit` runs the main job on a fresh machine, `make test` all that CI runs.
PYTHON ?= python3
VENV ?= .venv
RESULTS ?= results/local
DRAWS ?= 1000
NOTEBOOKS ?= records
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
LLAMA ?= .venv-llama
VLLM ?= .venv-vllm
# A network that does not answer is waited for so long, twice at most; what came is then installed whole.
APT_SECONDS ?= 90
APT := apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20
CHROMIUM := install -y --no-install-recommends chromium fonts-liberation fonts-dejavu-core

.PHONY: help setup circuit summarise figures site docs support bench guard gate test lint fmt types pytest fuzz test-slurm upgrade-check clean
.PHONY: serving-llama serving-vllm explore chromium browser every
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

setup: $(READY) chromium ## create .venv and install everything (CPU build of torch), and a Chromium where root may

circuit: $(READY) ## fetch the embedded model, run the circuit experiment, draw its figures
	$(PY) -m experiments.circuit results_dir=$(RESULTS)
	$(PY) -m experiments.figures results_dir=$(RESULTS)

summarise: $(READY) ## make the committed records anew from their measurements, with no model
	$(PY) -m experiments.summarise

figures: $(READY) ## draw the figures of the committed records
	$(PY) -m experiments.figures

support: $(READY) ## fill docs/support.md from what is tried on every tiny architecture
	$(PY) -m experiments.architectures.document

site: $(READY) ## build the companion site from records, docs and notebooks in outputs/site (NOTEBOOKS=all runs every one)
	$(PY) -m experiments.site notebooks=$(NOTEBOOKS)

docs: $(READY) ## fill the tables of README and docs from the committed records
	$(PY) -m experiments.docs

bench: $(READY) ## packed engine against one by one and other libraries, edits, growth (keep the machine idle)
	$(PY) -m experiments.bench results_dir=$(RESULTS)

explore: $(READY) ## a live explorer at http://127.0.0.1:8050 (MODEL=qwen3-0.6b for another model)
	$(PY) -m experiments.explore $(if $(MODEL),model=$(MODEL))

guard: $(READY) ## ratios of speed against the stored ones, after the tests in CI
	$(PY) -m experiments.bench.guard

gate: $(READY) ## train the gate adapter again (hours of 2 cores)
	$(PY) -m experiments.train_gate results_dir=$(RESULTS)

# Pyright has one thread, and pytest two workers: beside each other they leave no core idle.
test: lint ## all that CI runs: ruff, pyright, pytest with the real model and the notebook
	@$(MAKE) --no-print-directory -j 2 types pytest

lint: $(READY)
	$(PY) -m ruff check .

fmt: $(READY) ## format and sort imports
	$(PY) -m ruff check --select I --fix .
	$(PY) -m ruff format .

types: $(READY)
	$(PY) -m pyright --pythonpath $(PY)

pytest: $(READY)
	@$(MAKE) --no-print-directory serving-llama || echo "llama.cpp could not be installed: its tests are skipped"
	$(PY) -m pytest -n 2 --dist loadfile -rs

chromium: ## Debian's Chromium for the tests in a browser, where it is missing and the user is root
	@test -n "$$PKV_CHROMIUM" || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		{ test "$$(id -u)" = 0 && { export DEBIAN_FRONTEND=noninteractive; timeout $(APT_SECONDS) $(APT) update && \
		timeout $(APT_SECONDS) $(APT) $(CHROMIUM) --download-only && \
		$(APT) $(CHROMIUM) --no-download; } >/dev/null 2>&1; } || \
		echo "no Chromium: install it (apt-get install chromium), or the tests in a browser are skipped"

browser: $(READY) ## the tests in a browser alone
	$(PY) -m pytest -n 2 --dist loadfile -rs tests/browser

every: $(READY) ## every experiment on every tiny architecture (minutes); the suite tries a third of the pairs
	PKV_EVERY=1 $(PY) -m pytest -n 2 --dist load tests/experiments/test_every_family.py

fuzz: $(READY) ## thousands of drawn models, prompts and edits against their definitions (DRAWS=1000 of each kind)
	PKV_FUZZ=$(DRAWS) $(PY) -m pytest -q tests/hostile/test_fuzz.py

test-slurm: $(READY) ## sweeps on a Slurm and a Ray of their own (Debian's slurm-wlm and munge; installs ray)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	$(PY) -m pip install --quiet --no-deps hydra-ray-launcher==1.2.2
	PKV_LAUNCHERS=1 $(PY) -m pytest -q tests/run/test_clusters.py

upgrade-check: ## the suite against the newest torch, transformers and nnsight, in .venv-upgrade
	$(PYTHON) -m tests.upgrade_check

serving-llama: $(LLAMA)/.ready ## llama.cpp's server in an environment of its own, for its tests (seconds)

$(LLAMA)/.ready: tests/serving/llama.txt $(READY)
	$(PYTHON) -m venv --clear --without-pip $(LLAMA)
	$(PY) -m pip --python $(LLAMA)/bin/python install --quiet --no-deps --retries 1 \
		--requirement tests/serving/llama.txt
	@touch $@

serving-vllm: $(VLLM)/.ready ## vLLM on the CPU in an environment of its own, and its tests (minutes, 3.4 GB)
	PKV_VLLM=$(abspath $(VLLM)) $(PY) -m pytest -m vllm tests/serving/test_vllm.py tests/experiments/test_serving_vllm.py

# Torch first, with what its build needs; the wheel of vLLM also asks for packages that no server of text uses.
$(VLLM)/.ready: tests/serving/vllm.txt $(READY)
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --constraint tests/serving/vllm.txt torch
	$(VLLM)/bin/python -m pip install --quiet --no-deps --requirement tests/serving/vllm.txt
	@touch $@

clean: ## remove local results and caches, keep .venv and committed records
	rm -rf $(RESULTS) outputs .pytest_cache .ruff_cache
