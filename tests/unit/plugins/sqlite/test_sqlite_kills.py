"""A process that is killed loses nothing that was acknowledged, and the next one begins where it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import RunQuery
from plugins.sqlite.store import SqliteStore
from tests.unit.plugins.sqlite.sqlite_samples import (
    KERNEL,
    ask,
    child,
    completed,
    end,
    line_of,
    look_into,
    queued_again,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernel.contracts.store import KernelRow
    from kernel.model.run import Change, Run

_WORK = """
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(KERNEL)
    print("open", flush=True)
    sys.stdin.readline()
    while True:
        runs = news(7)
        answers = await asyncio.gather(store.enqueue(runs, {"default": 1000000}), store.claim(ask(5)))
        done = answers[1].runs[:4]
        await store.finish([completed(run) for run in done])
        print(",".join(run.id for run in runs), ",".join(run.id for run in done), flush=True)
asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9_at_any_moment(path: Path) -> None:
    accepted: set[str] = set()
    done: set[str] = set()
    for turn in range(8):
        process = child(_WORK, path)
        assert line_of(process) == "open"
        tell(process)
        for _ in range(3 + 5 * turn):
            new, finished = line_of(process).split(" ")
            accepted.update(new.split(","))
            done.update(finished.split(","))
        process.kill()
        assert process.stdout is not None
        for rest in process.stdout.read().splitlines():
            if rest.count(" ") == 1 and rest.endswith(rest[-36:]):
                accepted.update(rest.split(" ")[0].split(","))
        end(process)

        assert look_into(path, "PRAGMA integrity_check") == [("ok",)]
        states = dict(look_into(path, "SELECT id, state FROM run"))
        assert accepted <= states.keys()
        assert all(states[run_id] == 6 for run_id in done)


async def test_what_a_killed_kernel_had_claimed_is_queued_again_for_the_next(path: Path) -> None:
    process = child(
        """
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(KERNEL)
    await store.enqueue(news(5), {})
    runs = (await store.claim(ask(3))).runs
    print(",".join(run.id for run in runs), flush=True)
    sys.stdin.read()
asyncio.run(main())
""",
        path,
    )
    claimed = line_of(process).split(",")
    end(process)
    store = SqliteStore(path)

    await store.open(KERNEL._replace(id="kernel-2"))

    dead: list[KernelRow | None] = []

    def decide(row: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
        dead.append(row)
        return [queued_again(run) for run in runs]

    freed = await store.rescue("kernel-2", decide)

    assert dead == [KERNEL]
    assert sorted(run.id for run in freed) == sorted(claimed)
    assert await store.count(RunQuery()) == {"queued": 5}
    assert {run.token for run in (await store.claim(ask())).runs} == {1, 2}
    await store.close()


async def test_a_client_that_is_killed_in_the_middle_of_a_write_holds_nobody_up(path: Path) -> None:
    store = SqliteStore(path)
    await store.open(KERNEL)
    process = child(
        """
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(None)
    print("open", flush=True)
    while True:
        await store.enqueue(news(2000), {})
asyncio.run(main())
""",
        path,
    )
    assert line_of(process) == "open"
    await store.claim(ask(10))

    end(process)

    await store.enqueue([], {})
    assert len((await store.claim(ask(1000))).runs) <= 1000
    await store.close()
    assert look_into(path, "PRAGMA integrity_check") == [("ok",)]


async def test_several_processes_that_write_and_checkpoint_at_once_leave_the_file_sound(path: Path) -> None:
    store = SqliteStore(path)
    await store.open(KERNEL)
    clients = [
        child(
            """
async def main():
    for _ in range(6):
        store = SqliteStore(sys.argv[1])
        await store.open(None)
        for size in (1, 50, 400):
            await store.enqueue(news(size), {"default": 100000})
        await store.close()
asyncio.run(main())
""",
            path,
        )
        for _ in range(3)
    ]

    done = 0
    while done < 3 * 6 * 451:
        runs = (await store.claim(ask(200))).runs
        assert all((await store.finish([completed(run) for run in runs])).written)
        done += len(runs)

    assert [client.wait() for client in clients] == [0, 0, 0]
    assert await store.count(RunQuery()) == {"completed": done}
    await store.close()
    assert look_into(path, "PRAGMA integrity_check") == [("ok",)]
    for client in clients:
        end(client)
