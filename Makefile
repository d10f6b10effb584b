# make demo   makes music        make test   lint, types, tests        make   tells the rest
#
# Each target sets up what it needs in .venv, from what constraints.txt pins. Stamps in .venv tell
# what is installed there, so a second call starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# On a terminal pip shows its progress; elsewhere (CI, a file) it keeps quiet.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input \
	install $(if $(MAKE_TERMOUT),,-q) -c constraints.txt
SAMPLES := data/samples

.PHONY: help docs demo test daws lint bench bench-cold bench-data bench-train modes fuzz pictures clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      make eight melodies and an interpolation, as MIDI and pictures in out/"
	@echo "make test      lint, types, documentation and tests"
	@echo "make daws      opens what musegen writes in the DAWs that are installed here"
	@echo "make lint      lint and types only"
	@echo "make bench     how fast it is here, beside pretty_midi and mido"
	@echo "make bench-data  how fast music becomes arrays, beside other toolkits (minutes)"
	@echo "make bench-train  what training costs, beside a bare torch loop (DATA=prepared folder)"
	@echo "make bench-cold  how long a command takes from a fresh start, beside torch"
	@echo "make modes     which GAN losses and regularisers keep all modes of a toy (minutes)"
	@echo "make fuzz      read broken files for an hour, or MINUTES=5"
	@echo "make pictures  draw the pictures of the README again"
	@echo "make docs      the documentation as a site, in build/site"
	@echo "make clean     remove .venv and caches (out/ and runs/ stay)"
	@echo
	@echo "All need Python 3.10 to 3.13; another one than python3: make PYTHON=python3.12 demo"

demo: $(VENV)/.demo
	@echo "== Eight new melodies of four bars"
	@$(BIN)/musegen generate -n 8 --bars 4 --seed 1 -o out/melodies --png --force
	@echo "== From Fisher's Hornpipe to The Swallow's Tail in eight steps"
	@$(BIN)/musegen interpolate $(SAMPLES)/ryan_fishers_hornpipe.mid \
		$(SAMPLES)/oneill_swallows_tail.mid -n 8 --seed 1 -o out/interpolation --png --force
	@echo "== All of them side by side"
	@$(BIN)/python docs/pictures.py out
	@echo "Done. Open the .mid files in out/ with any player or DAW."

test: lint docs
	@echo "== Tests"
	@$(BIN)/python -m pytest -n auto --dist worksteal

# Those that Debian has: apt-get install musescore3 rosegarden lmms xvfb xdotool
daws: $(VENV)/.dev
	@$(BIN)/python -m pytest -m daw -rs

lint: $(VENV)/.dev
	@echo "== Lint and types"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# DATA: a folder that `musegen prepare` wrote
DATA ?= data/melody
bench-train: $(VENV)/.dev
	@$(BIN)/python benchmarks/training.py --data $(DATA)

bench-data: $(VENV)/.dev
	@$(BIN)/python benchmarks/data.py --write

bench-cold: $(VENV)/.dev
	@$(BIN)/python benchmarks/cold.py

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/speed.py

modes: $(VENV)/.demo
	@nice -n 19 $(BIN)/python benchmarks/modes.py docs/pictures/modes.png

# What breaks a reader is kept in tests/golden/broken, for the tests. SEED: other cases
MINUTES ?= 60
SEED ?= 1
fuzz: $(VENV)/.dev
	@nice -n 19 $(BIN)/python benchmarks/fuzz.py --minutes $(MINUTES) --seed $(SEED)

docs: $(VENV)/.dev
	@echo "== Documentation, into build/site/index.html"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q

pictures: demo
	@$(BIN)/python docs/pictures.py docs/pictures more

clean:
	rm -rf $(VENV) build dist musegen.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# Set-up, in three steps: an environment, torch, musegen with what the target needs.

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) was not found. Install Python 3.10 to 3.13, or name one: make PYTHON=python3.12 demo"; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "musegen needs Python 3.10 to 3.13, and $(PYTHON) is `$(PYTHON) --version 2>&1`."; \
		echo "Name another one: make PYTHON=python3.12 demo"; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments: its venv module is missing."; \
		echo "On Debian and Ubuntu: apt install python3-venv"; \
		exit 1; }
	@echo "== Making an environment in $(VENV) with `$(PYTHON) --version`"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "== Installing PyTorch into $(VENV) (the big one; this can take minutes, once)"
	@$(PIP) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	@echo "== Installing musegen and what it needs"
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@echo "== Installing musegen, what it needs, and the tools for lint and tests"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.demo $@
