# make setup   everything the daemon, its demo and its tests need, in .venv (and Debian packages)
# make demo    the main job on embedded defaults: synthetic camera, demo model, broker, page
# make test    all tests
# make check   formatting, lint, types
# make chaos   kill the daemon a hundred times in mid-stream and look for lost events (slow)
# make homeassistant   announce a camera to a real Home Assistant, and look at its entities (slow; Python 3.12 or newer)
# make test-py310   install and run the demo and the tests under Python 3.10 (slow; torch's CUDA build on a PC)
# make test-arm64   the same demo on emulated arm64, from a wheel folder (slow; root, Debian or Ubuntu)
# make test-container   build the container image on a Debian base and run the demo in it (slow; root, Debian or Ubuntu)
# make test-upgrades   upgrades of the service, good and bad, and roll back, under a systemd of its own (slow; root)
# make install OPTIONS='--torch cpu'   install this clone as a service, or upgrade to it (root; docs/install.md)
# make parity  compare with the official package, in an environment of its own (slow)

PYTHON ?= python3
PYTHON310 ?= python3.10
# Another place to look for torch, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu, which saves
# a PC without a GPU the CUDA build of several gigabytes.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := $(PIP) --constraint constraints/torch-cpu.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch torchvision

.PHONY: setup demo test install chaos check format parity homeassistant packages clean test-container test-upgrades test-py310 test-arm64

setup: packages $(VENV)/.dev .venv-gstreamer/.done

# Debian's own Python, into which GStreamer loads the tests' stand-ins for NVIDIA's elements.
.venv-gstreamer/.done: constraints/runtime.txt constraints/numpy2.txt | packages
	/usr/bin/python3 -m venv --system-site-packages .venv-gstreamer
	.venv-gstreamer/bin/python -m pip install --quiet --disable-pip-version-check --ignore-installed \
	    --constraint constraints/runtime.txt --constraint constraints/numpy2.txt \
	    av numpy opencv-python-headless prometheus-client pydantic pyyaml
	touch $@

# The daemon and its demo: all that `make demo` needs.
$(VENV)/.demo: pyproject.toml constraints/torch-cpu.txt constraints/runtime.txt constraints/numpy2.txt
	@echo "Setting up $(VENV): torch first, which takes a while"
	$(PYTHON) -m venv $(VENV)
	$(TORCH)
	$(PIP) --constraint constraints/torch-cpu.txt --editable '.[torch-cpu,opencv,demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo constraints/dev.txt
	$(PIP) --constraint constraints/torch-cpu.txt --constraint constraints/dev.txt --editable '.[torch-cpu,opencv,demo,dev]'
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

test-py310: packages
	PYTHON=$(PYTHON310) TORCH_INDEX=$(TORCH_INDEX) platforms/py310.sh

test-arm64:
	platforms/arm64.sh

# Named to be left out by `make test`.
test-container: $(VENV)/.dev
	tests/install-packages.sh buildah crun debootstrap mosquitto-clients
	$(BIN)/python -m pytest --capture no --timeout 3600 tests/container/check_image.py

# Named to be left out by `make test`.
test-upgrades: setup
	$(BIN)/python -m pytest tests/service/check_upgrades.py
	$(BIN)/python -m pytest tests/service/check_roll_back.py

install:
	systemd/install.sh $(OPTIONS)

parity: $(VENV)/.dev
	parity/run.sh

homeassistant: packages
	home_assistant/run.sh

clean:
	rm -rf $(VENV) .venv-* .cache build dist *.egg-info
