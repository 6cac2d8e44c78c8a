"""Our announcements on a real Home Assistant, with a real broker between them.

    home_assistant/run.sh       (makes the environment, runs this, writes docs/home-assistant.md)

Exits with 1 where Home Assistant does otherwise than our documents say.
"""

import argparse
import asyncio
import json
import logging
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

# Of our own package nothing is imported but edge.publish, which needs nothing but Python.
sys.path.append(str(Path(__file__).parents[1]))

import lifetime
import states
from broker import Broker
from homeassistant.const import __version__ as home_assistant_version
from trial import DOCUMENT, GOLDEN, Trial, announce

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"


async def run(trial: Trial) -> None:
    """Every step, each on what the last one left."""
    first = announce("person", "Straße")
    golden = json.loads(GOLDEN.read_bytes())
    trial.says(f"what is checked is {GOLDEN.name}", json.loads(first.payload) == golden)
    await trial.home.start()
    await trial.home.connect(trial.broker)
    states.schemas(trial, first)
    await states.entities(trial, first)
    await states.states(trial)
    await states.availability(trial)
    await states.switch(trial)
    await states.picture(trial)
    await states.automation(trial)
    fewer = await lifetime.withdrawal(trial, first)
    await lifetime.restart(trial, fewer)
    await lifetime.absence(trial, fewer)
    complaints = trial.complaints.messages
    trial.says(f"all that without a warning {complaints or ''}".rstrip(), not complaints)
    await lifetime.removal(trial, fewer)
    await trial.home.stop()


def write(row: str) -> None:
    """Put this version's row into the document's table, in the place of its last one."""

    def version(line: str) -> list[int]:
        return [int(part) for part in line.split("|")[1].split(".")]

    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    header, rule, *rows = table.strip().split("\n")
    rows = [line for line in rows if version(line) != version(row)]
    text = "\n".join([header, rule, *sorted([*rows, row], key=version)])
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after}", encoding="utf-8")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help=f"put the result into {DOCUMENT}")
    arguments = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        trial = Trial(Path(folder), broker)
        await run(trial)
    passed = trial.count - len(trial.failed)
    row = (
        f"| {home_assistant_version} | {platform.python_version()} | {date.today()}"
        f" | {passed} of {trial.count} |"
    )
    print(f"\n{row}")
    if arguments.write:
        write(row)
    sys.exit(bool(trial.failed))


if __name__ == "__main__":
    asyncio.run(main())
