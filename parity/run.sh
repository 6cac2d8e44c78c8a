#!/bin/sh
# Compares this package with the official one, in an environment of its own, and writes the figures
# into docs/parity.md. `parity/run.sh golden` makes tests/rfdetr/golden/ anew instead.
set -eu
cd "$(dirname "$0")/.."

venv=.venv-parity
stamp=$venv/.installed
if [ ! -e $stamp ] || [ pyproject.toml -nt $stamp ] || [ parity/constraints.txt -nt $stamp ]; then
    "${PYTHON:-python3}" -m venv $venv
    install="$venv/bin/python -m pip install --quiet --disable-pip-version-check
        --constraint parity/constraints.txt"
    $install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision
    $install --editable '.[torch-cpu,parity]'
    touch $stamp
fi

case "${1:-compare}" in
    golden) shift; exec $venv/bin/python parity/make_golden.py "$@" ;;
    *) exec $venv/bin/python parity/compare.py --write docs/parity.md "$@" ;;
esac
