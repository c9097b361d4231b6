"""A full disk is an error that passes: nothing is lost, nothing half written, and it goes on when there is room again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.plugins.sqlite.sqlite_samples import child, end, line_of, look_into

if TYPE_CHECKING:
    from pathlib import Path

_FILL = """
import json
from kernel.model.errors import StoreError, StoreFullError
from kernel.contracts.store import RunQuery

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(KERNEL)
    accepted = 0
    refused = []
    limit(2_000_000)
    while len(refused) < 5:
        try:
            accepted += len(await store.enqueue([new(payload=json.dumps("x" * 3000)) for _ in range(20)], {}))
        except StoreError as error:
            refused.append([type(error).__name__, str(error)])
    counted = (await store.count(RunQuery())).get("queued", 0)
    limit(resource.RLIM_INFINITY)
    again = len(await store.enqueue(news(20), {}))
    claimed = len((await store.claim(ask(1000))).runs)
    await store.close()
    print(json.dumps([accepted, counted, refused, again, claimed]), flush=True)
asyncio.run(main())
"""


async def test_a_full_disk_refuses_and_the_store_goes_on_when_there_is_room_again(path: Path) -> None:
    process = child(_FILL, path)
    accepted, counted, refused, again, claimed = json.loads(line_of(process))
    end(process)

    assert accepted == counted > 0
    assert {kind for kind, _ in refused} == {"StoreFullError"}
    assert all("the disk is full" in said and str(path) in said for _, said in refused)
    assert again == 20
    assert claimed == min(accepted + 20, 1000)
    assert look_into(path, "PRAGMA integrity_check") == [("ok",)]
    assert look_into(path, "SELECT count(*) FROM run") == [(accepted + 20,)]
