"""The real command line, but for one turn of the inference loop: the twentieth hangs, once.

The next start finds the file that this one leaves in its state folder, and works.
"""

import os
import sys
import threading
from pathlib import Path

from edge.cli import main
from edge.inference.loop import InferenceLoop

HUNG = Path(os.environ["STATE_DIRECTORY"], "hung")
turn = InferenceLoop.turn


def turn_that_hangs(loop, *arguments):
    if loop.turns == 20 and not HUNG.exists():
        HUNG.touch()
        threading.Event().wait()
    turn(loop, *arguments)


InferenceLoop.turn = turn_that_hangs
sys.exit(main())
