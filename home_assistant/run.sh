#!/bin/sh
# Tries our announcements on Home Assistant's own code, in an environment of its own, and writes the
# result into docs/home-assistant.md. Needs Debian's mosquitto and mosquitto-clients.
#
#     PYTHON=python3.14 home_assistant/run.sh              the newest that this Python takes (3.12 or newer)
#     HOME_ASSISTANT=2024.11.3 PYTHON=… home_assistant/run.sh        this one
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
    echo "Home Assistant with device discovery needs Python 3.12 or newer: PYTHON=python3.13 $0" >&2
    exit 1
fi

venv=.venv-ha${HOME_ASSISTANT:+-$HOME_ASSISTANT}
stamp=$venv/.installed
if [ ! -e "$stamp" ] || [ home_assistant/constraints.txt -nt "$stamp" ]; then
    "$python" -m venv "$venv"
    install="$venv/bin/python -m pip install --quiet --disable-pip-version-check
        --constraint home_assistant/constraints.txt"
    $install "homeassistant${HOME_ASSISTANT:+==$HOME_ASSISTANT}" 'homeassistant>=2024.11'
    # What an integration needs beyond the core, Home Assistant installs at run time; we do it here.
    "$venv/bin/python" home_assistant/requirements.py >"$venv/requirements.txt"
    $install --requirement "$venv/requirements.txt"
    touch "$stamp"
fi

exec "$venv/bin/python" home_assistant/check.py --write
