"""Fills a disk of its own with events: ``unshare -rm python full_disk.py FOLDER``.

In a mount namespace, where a tmpfs of 1500 KiB can be mounted on FOLDER by anybody. Prints what
became of the events as JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

from spooling import Bench, event


def main(folder: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", folder], check=True)
    bench = Bench(Path(folder), replay_rate=1e6)
    bench.broker.connect(1)
    bench.turn()
    bench.broker.room = 0
    for n in range(1500):
        bench.append(event(("new", "end")[n % 2], f"a{n // 2}", pad=500))
        bench.turn(seconds=0.01)
    on_disk = 1500 - len(bench.delivery._store.unspooled)
    failed = bench.delivery._store.failing
    bench.broker.room = 10**9
    for turn in range(200):
        if turn == 100:
            bench.append(event("new", "late"))
        bench.turn()
        bench.broker.acknowledge()
    left = bench.restart().left_open()
    print(
        json.dumps(
            {
                "on_disk": on_disk,
                "failed": failed,
                "seqs": [seq for _, seq, _ in bench.broker.told()],
                "waiting": bench.value("messages"),
                "open": [thing.event_id for thing in left],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
