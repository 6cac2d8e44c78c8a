# make setup   everything the daemon, its demo and its tests need, in .venv (and Debian packages)
# make demo    the main job on embedded defaults: synthetic camera, demo model, broker, page
# make test    all tests
# make check   formatting, lint, types
# make chaos   kill the daemon a hundred times in mid-stream and look for lost events (slow)
# make homeassistant   announce a camera to a real Home Assistant, and look at its entities (slow; Python 3.12 or newer)
# make parity  compare with the official package, in an environment of its own (slow)

PYTHON ?= python3
# Another place to look for torch, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu, which saves
# a PC without a GPU the CUDA build of several gigabytes.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := $(PIP) --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch torchvision

.PHONY: setup demo test chaos check format parity homeassistant packages clean

setup: packages $(VENV)/.dev

# The daemon and its demo: all that `make demo` needs.
$(VENV)/.demo: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): torch first, which takes a while"
	$(PYTHON) -m venv $(VENV)
	$(TORCH)
	$(PIP) --constraint constraints.txt --editable '.[torch-cpu,opencv,demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --constraint constraints.txt --editable '.[torch-cpu,opencv,demo,dev]'
	touch $@

# Debian packages of the tests: RTSP server, broker, browser, Prometheus.
packages:
	tests/install-packages.sh

demo: $(VENV)/.demo
	$(BIN)/rfdetr-edge demo

test: setup
	$(BIN)/python -m pytest

chaos: setup
	KILLS=100 $(BIN)/python -m pytest -s --timeout 1800 -k killed_daemon tests/test_events_end_to_end.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

parity: $(VENV)/.dev
	parity/run.sh

homeassistant: packages
	home_assistant/run.sh

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info
