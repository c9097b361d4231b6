"""A process that works off: ``python -m benchmarks.postgres.worker SYSTEM BOARD SLOT``, started and told by a part.

It says ``ready``, and then what it is told to on standard input: ``go``, ``idle COUNT PAUSE``, ``stop``. The database's URL
is taken from the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import percentiles
from benchmarks.postgres.board import Slot
from benchmarks.postgres.system import system_of

if TYPE_CHECKING:
    from benchmarks.postgres.system import System, Worker

DATABASE = "MAINSPRING_BENCH_DATABASE"


async def serve(system: System, slot: Slot) -> None:
    cpu = 0.0
    async with system.worker(os.environ[DATABASE], slot) as worker:
        say("ready")
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            match words:
                case ["go"]:
                    cpu = time.process_time()
                    await worker.go()
                case ["idle", count, pause]:
                    say(percentiles("ms", [await start_of(worker, slot, float(pause)) for _ in range(int(count))]))
                case ["stop"]:
                    say({"cpu_seconds": time.process_time() - cpu})
                    return


async def start_of(worker: Worker, slot: Slot, pause: float) -> float:
    """Seconds from the call that enqueues to the first line of the job, when nothing else is to be done."""
    await asyncio.sleep(pause)
    slot.has_begun.clear()
    called = time.time()
    await worker.timed()
    await slot.has_begun.wait()
    return slot.begun_at - called


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    chosen = system_of(sys.argv[1])
    chosen.run(serve(chosen, Slot(Path(sys.argv[2]), int(sys.argv[3]))))
