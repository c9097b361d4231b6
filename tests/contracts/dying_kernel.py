"""A kernel that is killed: it opens a store, claims two of three runs and waits for its end.

``python -m tests.contracts.dying_kernel PACKAGE URL``: the plugin package of the store, and where that is.
"""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

from kernel.contracts.store import Entry
from tests.contracts.store_promises.samples import NO_LIMIT, NOW, OTHER, ask, id_of, new

READY = "claimed"


def die(package: str, url: str) -> None:
    """Lets such a process claim, kills it, and returns when it is gone."""
    command = [sys.executable, "-m", "tests.contracts.dying_kernel", package, url]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == READY
        finally:
            process.kill()


async def _claim_and_wait(package: str, url: str) -> None:
    store = importlib.import_module(package).open_store(url)
    await store.open(OTHER)
    await store.enqueue(
        [new(2), new(1), new(3, due=NOW + 1), new(4, state="blocked", depends_on=(id_of(1),))], NO_LIMIT
    )
    claimed = (await store.claim(ask(kernel=OTHER.id, limit=2))).runs
    await store.record([Entry(run.id, run.token, ("load", "1"), (0.5, "half"), "a\n") for run in claimed])
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    asyncio.run(_claim_and_wait(*sys.argv[1:3]))
