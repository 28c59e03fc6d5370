# Every task of the project, each one command. `make` alone lists them.
#
# A target's `##` comment reads "what it does | expected minutes | what it needs";
# a `##@` comment opens a group. The help is made from these comments.

SHELL := /bin/bash -eu -o pipefail
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ARGS ?=
PYTEST_ARGS ?=
PYTHON ?=

VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python
SUITE := $(RUN) -m experiments.suite
REPORT := $(RUN) -m reproductions.report
PYTHON_CANDIDATES := $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3)

.PHONY: help
help:
	@awk -F ':.*## ' ' \
	    BEGIN { printf "Usage: make TARGET [ARGS=\"key=value ...\"] [PYTHON=path]\n" } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { split($$2, part, / *\| */); \
	        printf "  %-28s %-53s %7s  %s\n", $$1, part[1], part[2] " min", part[3] }' Makefile
	@printf '%s\n' '' \
	    'Minutes are for two CPU cores. The environment ($(VENV)) is made when first needed: add' \
	    'about 2 minutes, and more where torch brings its CUDA libraries.' \
	    '  ARGS    settings to change, for both the runs and their report:' \
	    '          make reproduce-vowel ARGS="study.num_seeds=3"' \
	    '  PYTHON  the Python (3.11 or newer) to make the environment with:' \
	    '          make setup PYTHON=/path/to/python3.12'

##@ Environment
.PHONY: setup clean-env
setup: $(READY) ## Make the environment with the pinned packages | 2 | Python 3.11 or newer, network
clean-env: ## Remove the environment; results stay | 0 | nothing
	rm -rf $(VENV)

##@ Checks
# Toy sizes, which the suites hold: they show that every part works, and nothing about the paper.
SMOKE := vowel_smoke language_model_smoke translation_smoke clusters_smoke

.PHONY: test lint types unit smoke package mutants
test: lint types unit ## All checks: lint, types and unit | 15 | CPU
lint: $(READY) ## Style (ruff check, ruff format --check) | <1 | CPU
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
types: $(READY) ## Types (mypy, strict) | 1 | CPU
	$(RUN) -m mypy
unit: $(READY) ## Tests alone (pytest; PYTEST_ARGS="-k gate") | 12 | CPU
	$(RUN) -m pytest --numprocesses=logical --dist=worksteal $(PYTEST_ARGS)
smoke: $(READY) ## The whole way from data to report, at toy size | 4 | CPU
	$(SUITE) suite="$$(echo $(SMOKE) | tr ' ' ,)" $(ARGS)
	for suite in $(SMOKE); do $(REPORT) suite="$$suite" $(ARGS); done
	@echo 'passed: every study went from its data to its report, at toy size'
# Cosmic Ray has an environment of its own: nothing else here needs what it asks for.
MINUTES ?= 10
MUTANTS := .venv-mutants
mutants: $(READY) $(MUTANTS)/.ready ## Change the code at random places: do tests find it? | 10 | CPU
	$(RUN) -m tests.mutants minutes=$(MINUTES) $(ARGS)
$(MUTANTS)/.ready: $(READY)
	$(RUN) -m venv --clear $(MUTANTS)
	$(MUTANTS)/bin/python -m pip install -qq --disable-pip-version-check cosmic-ray==8.7.0
	touch $(MUTANTS)/.ready
# The wheel goes into an environment that sees the pinned packages but not this checkout.
SITE := import sysconfig; print(sysconfig.get_path("purelib"))
package: $(READY) ## Build the wheel and try it outside the checkout | 1 | CPU
	@folder="$$(mktemp -d)"; trap 'rm -rf "$$folder"' EXIT; pinned="$$($(RUN) -c '$(SITE)')"; \
	$(RUN) -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation \
	    --wheel-dir "$$folder" .; \
	$(RUN) -m venv "$$folder/venv"; python="$$folder/venv/bin/python"; \
	"$$python" -m pip install -qq --disable-pip-version-check --no-deps "$$folder"/*.whl; \
	echo "$$pinned" > "$$("$$python" -c '$(SITE)')/pinned.pth"; \
	cp tests/moe/test_public_face.py "$$folder"; cd "$$folder"; \
	"$$python" -m pytest -q test_public_face.py; \
	venv/bin/moe-reproductions suite suite=vowel_smoke; \
	venv/bin/moe-reproductions report suite=vowel_smoke; \
	venv/bin/moe-reproductions plot suite=vowel_smoke; \
	venv/bin/moe-reproductions site; \
	for verb in run translate front judge power; do \
	    venv/bin/moe-reproductions "$$verb" --help > /dev/null || exit 1; \
	done
	@echo 'passed: the wheel works outside the checkout'

##@ Studies
.PHONY: reproduce-vowel reproduce-vowel-tuned multiverse-vowel
.PHONY: reproduce-clusters reproduce-clusters-all reproduce-translation scaling
.PHONY: reproduce-language-model reproduce-language-model-all search-language-model
.PHONY: reproduce-translation-all search-translation
.PHONY: reproduce-translation-gpu questions questions-domains fetch-texts front site
.PHONY: reproduce reproduce-all
reproduce-vowel: $(READY) ## The vowel study as published, and its report | 3 | CPU
	$(SUITE) suite=vowel $(ARGS)
	$(REPORT) suite=vowel $(ARGS)
reproduce-vowel-tuned: $(READY) ## The vowel study with tuned settings, and its report | 1 | CPU
	$(SUITE) suite=vowel_tuned $(ARGS)
	$(REPORT) suite=vowel_tuned $(ARGS)
multiverse-vowel: $(READY) ## Every reading of what the paper leaves open | 15 | CPU
	$(SUITE) suite=vowel_multiverse $(ARGS)
	$(REPORT) suite=vowel
reproduce-clusters: $(READY) ## Clusters: settings 1 and 2, the picture, and the report | 10 | CPU
	$(SUITE) suite=clusters $(ARGS)
	$(REPORT) suite=clusters $(ARGS)
reproduce-clusters-all: $(READY) ## Clusters: all settings, code against text, sensitivity | 90 | CPU
	$(SUITE) suite=clusters_all $(ARGS)
	$(REPORT) suite=clusters $(ARGS)
reproduce-language-model: $(READY) ## Capacity at equal cost: 4 to 2,048 experts | 20 | CPU
	$(SUITE) suite=language_model $(ARGS)
	$(REPORT) suite=language_model $(ARGS)
reproduce-language-model-all: $(READY) ## All of Table 7, Table 6, controls | 170 | CPU
	$(SUITE) suite=language_model_all $(ARGS)
	$(REPORT) suite=language_model $(ARGS)
search-language-model: $(READY) ## Its search for learning rates | 60 | CPU
	$(SUITE) suite=language_model_search $(ARGS)
reproduce-translation: $(READY) ## Into nine languages with 2,048 experts | 40 | CPU
	$(SUITE) suite=translation $(ARGS)
	$(REPORT) suite=translation $(ARGS)
reproduce-translation-all: $(READY) ## Figure 4, Table 6, controls, one pair | 190 | CPU
	$(SUITE) suite=translation_all $(ARGS)
	$(REPORT) suite=translation $(ARGS)
search-translation: $(READY) ## Its search for learning rates | 90 | CPU
	$(SUITE) suite=translation_search $(ARGS)
reproduce-translation-gpu: $(READY) ## The same, wider, on one GPU | 100 | one NVIDIA GPU
	$(SUITE) suite=translation_gpu $(ARGS)
	$(REPORT) suite=translation_gpu $(ARGS)
scaling: $(READY) ## Cost per token against the number of experts | 8 | an idle machine
	$(SUITE) suite=scaling $(ARGS)
	$(REPORT) suite=scaling $(ARGS)

questions: $(READY) ## The five questions: all studies from other starts | 35 | CPU
	$(SUITE) suite=questions $(ARGS)
	$(REPORT) suite=questions $(ARGS)
fetch-texts: $(READY) ## Texts of three other kinds, for corpus=domains | 1 | Debian or Ubuntu, network
	$(RUN) -m experiments.text.fetch
questions-domains: $(READY) ## Question 1 on four kinds of text, after fetch-texts | 45 | CPU
	$(SUITE) suite=questions_domains $(ARGS)
	$(REPORT) suite=questions $(ARGS)
site: $(READY) ## The whole site from what is published, in site/ | <1 | nothing
	$(RUN) -m reproductions.site $(ARGS)
front: $(READY) ## The front page of all studies, from finished runs | 1 | finished runs
	$(RUN) -m reproductions.front
# What is done is not done again. The long studies share the cores, those of the longest runs first,
# so that hardly any core waits at the end.
reproduce: $(READY) ## The three studies, and the front page | 55 | CPU
	@$(MAKE) --no-print-directory reproduce-vowel ARGS=
	$(SUITE) suite=translation,clusters
	$(REPORT) suite=clusters
	$(REPORT) suite=translation
	@$(MAKE) --no-print-directory front
reproduce-all: $(READY) ## The same, and every other command of README | 125 | CPU
	@$(MAKE) --no-print-directory reproduce-vowel ARGS=
	@$(MAKE) --no-print-directory scaling ARGS=
	$(SUITE) suite=translation,language_model,questions,clusters
	$(REPORT) suite=clusters
	$(REPORT) suite=language_model
	$(REPORT) suite=questions
	$(REPORT) suite=translation
	@$(MAKE) --no-print-directory front

##@ Results
.PHONY: report report-clusters report-translation report-scaling report-questions publish
.PHONY: power judge
.PHONY: report-language-model
.PHONY: benchmark benchmark-clusters benchmark-core benchmark-translation
.PHONY: benchmark-gpu compile-gpu
report: $(READY) ## Write the vowel report of finished runs, no training | 1 | finished runs
	$(REPORT) suite=vowel $(ARGS)
report-clusters: $(READY) ## Write the clusters report of finished runs | 1 | finished runs
	$(REPORT) suite=clusters $(ARGS)
report-translation: $(READY) ## Write the translation report of finished runs | 1 | finished runs
	$(REPORT) suite=translation $(ARGS)
report-language-model: $(READY) ## Write the language model's report | 1 | finished runs
	$(REPORT) suite=language_model $(ARGS)
report-scaling: $(READY) ## Write the scaling report of finished runs | 1 | finished runs
	$(REPORT) suite=scaling $(ARGS)
report-questions: $(READY) ## Write the report of the five questions | 1 | finished runs
	$(REPORT) suite=questions $(ARGS)
publish: $(READY) ## For maintainers: RESULTS.md and README from finished runs | 2 | finished runs
	$(RUN) -m reproductions.publish $(ARGS)
power: $(READY) ## Chances of each claim to be decided, and error rates | 4 | CPU
	$(RUN) -m reproductions.power
judge: $(READY) ## All that is published again, from stored runs | 1 | CPU
	$(RUN) -m reproductions.rejudge $(ARGS)
benchmark: $(READY) ## Time the vowel study's training | 5 | an otherwise idle machine
	$(RUN) -m benchmarks.vowel $(ARGS)
benchmark-clusters: $(READY) ## Time a step against the paper written plainly | 1 | an idle machine
	$(RUN) -m benchmarks.clusters $(ARGS)
benchmark-core: $(READY) ## Time the sparse layer against its limits | 5 | an otherwise idle machine
	$(RUN) -m benchmarks.core $(ARGS)
benchmark-translation: $(READY) ## Time translation's training and search | 6 | an idle machine
	$(RUN) -m benchmarks.translation $(ARGS)
benchmark-gpu: $(READY) ## The same on a GPU, and the tests that need one | 5 | one NVIDIA GPU
	@# A test that fails is no reason to go without the figures.
	$(RUN) -m pytest -m gpu tests; status=$$?; $(RUN) -m benchmarks.gpu $(ARGS) && exit $$status
compile-gpu: $(READY) ## Compile and interpret the GPU kernels, no GPU needed | 30 | the package triton
	$(RUN) -m benchmarks.compile_gpu $(ARGS)
	$(RUN) -m pytest tests/moe/test_triton.py

# The stamp is written last. An environment without it was never finished, or was interrupted:
# it is made again from nothing. One whose stamp is merely older than the requirements is
# brought up to date in place.
IS_RECENT := import sys; sys.exit(sys.version_info < (3, 11))
INSTALL := $(RUN) -m pip install -qq --disable-pip-version-check --no-input
PRINT_VERSION := import sys; print("%d.%d" % sys.version_info[:2])

$(READY): requirements.txt pyproject.toml
	@python=''; \
	for candidate in $(PYTHON_CANDIDATES); do \
	    if "$$candidate" -c '$(IS_RECENT)' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    printf '%s\n' 'error: no Python 3.11 or newer among:' $(PYTHON_CANDIDATES) \
	        'fix: install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3' >&2; \
	    exit 1; \
	fi; \
	version="$$("$$python" -c '$(PRINT_VERSION)')"; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    printf '%s\n' "error: $$python cannot make environments: its venv module is missing." \
	        "fix: install it (Debian, Ubuntu: the package python$$version-venv), then run again." >&2; \
	    exit 1; \
	fi; \
	echo "Setting up $(VENV) with Python $$version: about 2 minutes, more on a slow network."; \
	if [ -f $(READY) ] && $(RUN) -c ''; then \
	    rm -f $(READY); \
	else \
	    rm -f $(READY); "$$python" -m venv --clear $(VENV); \
	fi; \
	if ! { $(INSTALL) --requirement requirements.txt \
	    && $(INSTALL) --no-deps --no-build-isolation --editable .; }; then \
	    printf '%s\n' 'error: the packages could not be installed; pip says why above.' \
	        'fix: check the network and the free disk space, then run again: it starts afresh.' >&2; \
	    exit 1; \
	fi; \
	touch $(READY); \
	echo "$(VENV) is ready."
