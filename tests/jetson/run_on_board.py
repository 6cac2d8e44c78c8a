"""The daemon on a board whose files lie in a folder: ``run_on_board.py CONFIG BOARD``.

The governor is in a hurry here: what takes a real board minutes would take a test as long.
"""

import logging
import sys
from pathlib import Path

from edge.config import load_config
from edge.daemon import Daemon
from edge.jetson import governor
from edge.logs import configure
from edge.stop import StopRequest

governor.PERIOD_S = 0.25
governor.RATE_WINDOW_S = 2.0
governor.SETTLE_S = 0.5
governor.RECOVER_S = 1.0

if __name__ == "__main__":
    config_file, board = sys.argv[1:]
    stop = StopRequest()
    stop.install()
    configure("info", "text")
    logging.getLogger(__name__).info("board below %s", board)
    config = load_config(Path(config_file)).config
    sys.exit(Daemon(config, config_file, stop, board=Path(board)).run())
