#!/bin/sh
# The package under JetPack 6's Python: installs it in .venv-310, runs its demo, then the tests that the
# operating system has no part in. On a PC torch is the CUDA build (4.6 GB) unless TORCH_INDEX names
# another index.
#
#     PYTHON=python3.10 platforms/py310.sh
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.10}
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))'; then
    echo "This is for Python 3.10: make test-py310 PYTHON310=/path/to/python3.10" >&2
    exit 1
fi

venv=.venv-310
stamp=$venv/.installed
if [ ! -e $stamp ] || [ -n "$(find pyproject.toml constraints -newer $stamp)" ]; then
    echo "Setting up $venv: torch first, which takes a while"
    "$python" -m venv $venv
    install="$venv/bin/python -m pip install --quiet --disable-pip-version-check
        --constraint constraints/torch-cpu.txt --constraint constraints/dev.txt"
    $install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision
    $install --editable '.[torch-cpu,opencv,demo,dev]'
    touch $stamp
fi

$venv/bin/python platforms/demo_check.py
$venv/bin/python -m pytest -q "$@"
