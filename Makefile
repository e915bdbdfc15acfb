SHELL := /bin/bash -o pipefail
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The name of the stamp holds what was installed: the same requirements are not installed twice.
STAMP := .venv/installed-$(shell sha256sum requirements.txt | cut -c1-12)
# CPU=1 takes PyTorch's builds without CUDA, of the pinned versions: 1 GB in place of 6.
CPU_BUILDS := --extra-index-url https://download.pytorch.org/whl/cpu \
	$(shell sed -nE 's/^(torch|torchvision)==.*/&+cpu/p' requirements.txt)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

pipeline: $(STAMP) ## write the dvc.yaml files that follow from params.yaml
	@python -m sgr pipeline

# What there is to look at first: CamVid's rows are few.
FIRST = $(strip $(shell grep -oE '^  (table|figures)_camvid\b' dvc.yaml))
# Status 1 of submit: jobs failed, their stages say why.
made = { python -m sgr submit --here $(1) || [ $$? = 1 ]; } && python -m sgr repro $(1)

repro: pipeline ## every table and figure of the profile in params.yaml, CamVid's first; or TARGETS=…
	@$(if $(TARGETS),,$(if $(FIRST),$(call made,$(FIRST)) && echo "== the first table after $$SECONDS s; now the others"))
	@$(call made,$(TARGETS))

cluster: pipeline ## submit every stale job of TARGETS=… to SLURM at once, then wait for them
	@python -m sgr submit $(TARGETS)
	@python -m sgr repro $(TARGETS)

test: $(STAMP) ## unit tests, and stages of every kind in a scratch copy
	@echo "== tests (some run stages of every kind through DVC)"
	@python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(STAMP) ## ruff (lint and format) and mypy
	@ruff check . && ruff format --check . && mypy

bench: $(STAMP) ## speed and memory of the unit, its loss, extraction, training and start-up, side by side
	@python -m bench.speed

exp: $(STAMP) ## experiments side by side: parameters and results, without the columns of dependencies
	@dvc exp show --drop '.*/|.*\.(py|txt|yaml)$$|(params|sgr)$$'

jobs: $(STAMP) ## the jobs of this repository and how they stand; ALL=1 lists the finished ones too
	@python -m sgr jobs $(if $(ALL),--all)

cancel: $(STAMP) ## cancel what is queued or runs of a row: ROW=camvid-fcn
	@python -m sgr cancel "$(ROW)"

clean-jobs: $(STAMP) ## list job folders that no plan refers to; YES=1 removes them
	@python -m sgr clean-jobs $(if $(YES),--remove)

dry-run: $(STAMP) ## what would be submitted, its GPU-hours and disk: PROFILE=paper TARGETS=table1
	@python -m sgr dry-run $(if $(PROFILE),--profile $(PROFILE)) $(TARGETS)

adopt: $(STAMP) ## after a refactoring: keep finished trainings that today's code proves to repeat, bit for bit; ROWS="camvid-fcn …"
	@python -m sgr adopt $(ROWS)

data-check: $(STAMP) ## what the folders of the real datasets lack; DATASETS="ade20k coco" DEEP=1 for these, every file decoded
	@python -m sgr data-check $(if $(DEEP),--deep) $(DATASETS)

docs: $(STAMP) ## the documentation as a site, in site/
	@python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt -c requirements.txt
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

install: $(STAMP) ## the virtual environment alone; CPU=1 here, or with any other target, leaves out CUDA

$(STAMP):
	@echo "== set-up 1/2: virtual environment in .venv"
	@test -x $(BIN)/python || $$(command -v $(PYTHON) || command -v python3) -m venv .venv
	@python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")'
	@echo "== set-up 2/2: $$(grep -c == requirements.txt) packages of requirements.txt, torch$(if $(CPU),, and its CUDA libraries) among them: some GB, some minutes"
	@python -m pip install --quiet --disable-pip-version-check --progress-bar on --requirement requirements.txt $(if $(CPU),$(CPU_BUILDS))
	@rm -f .venv/installed-* && touch $@

clean: ## remove the virtual environment, the site, generated data and what stages made; results, downloads and jobs stay
	rm -rf .venv work data/generated site

.PHONY: help pipeline repro cluster test lint bench exp jobs cancel clean-jobs dry-run adopt data-check docs install clean
.DEFAULT_GOAL := help
