"""Calls of one turn, and calls made while another transaction is being written, share one commit; none sinks the others."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Claim, Finishes, Look, Looked, RunQuery
from kernel.model.errors import RequestError, StoreFullError
from kernel.model.schedule import ScheduleRow
from tests.unit.plugins.sqlite.sqlite_samples import JOB, KERNEL, NOW, ask, completed, new, news

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contracts.store import Unfinished
    from plugins.sqlite.store import SqliteStore


@pytest.fixture
def commits(store: SqliteStore) -> list[str]:
    """Every BEGIN, SAVEPOINT, COMMIT and ROLLBACK from now on."""
    assert store._writer is not None
    seen: list[str] = []

    def note(statement: str) -> None:
        if statement.startswith(("BEGIN", "SAVEPOINT", "COMMIT", "ROLLBACK")):
            seen.append(statement)

    store._writer.files.opened().writer.connection.set_trace_callback(note)
    return seen


class Held:
    """A look whose decision waits until it is let go: the writer's thread is busy for as long."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()

    async def start(self) -> asyncio.Task[object]:
        await self.store.put_schedules([ScheduleRow("held", "{}", False, NOW, NOW)])
        task: asyncio.Task[object] = asyncio.ensure_future(self.store.look([Look("held", NOW, NOW + 1)], self._decide))
        await self.begun.wait()
        return task

    def let_go(self) -> None:
        self._go.set()

    def _decide(self, _look: Look, _unfinished: Sequence[Unfinished]) -> Looked:
        self._loop.call_soon_threadsafe(self.begun.set)
        self._go.wait(10)
        return Looked()


async def test_calls_of_one_turn_share_one_commit(store: SqliteStore, commits: list[str]) -> None:
    _, claims, _ = await asyncio.gather(store.enqueue(news(3), {}), store.claim(ask()), store.put("health", {"a": "1"}))

    assert len(claims.runs) == 3
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]


async def test_calls_made_while_a_transaction_is_written_share_the_next(store: SqliteStore) -> None:
    held = Held(store)
    task = await held.start()
    assert store._writer is not None
    connection = store._writer.files.opened().writer.connection
    seen: list[str] = []
    connection.set_trace_callback(lambda statement: seen.append(statement) if "COMMIT" in statement else None)
    calls = []
    for _ in range(5):
        calls.append(asyncio.ensure_future(store.enqueue(news(2), {})))
        await asyncio.sleep(0)

    held.let_go()
    await asyncio.gather(task, *calls)

    assert seen == ["COMMIT", "COMMIT"]
    assert await store.count(RunQuery()) == {"queued": 10}


async def test_a_call_that_fails_does_not_sink_the_others_of_its_commit(store: SqliteStore, commits: list[str]) -> None:
    await store.put_schedules([ScheduleRow("nightly", "{}", False, NOW, NOW)])
    commits.clear()

    def fail(_look: Look, _unfinished: Sequence[Unfinished]) -> Looked:
        raise ZeroDivisionError

    one, failed, other = await asyncio.gather(
        store.enqueue(news(1), {}),
        store.look([Look("nightly", NOW, NOW + 1)], fail),
        store.enqueue(news(1), {}),
        return_exceptions=True,
    )

    assert isinstance(failed, ZeroDivisionError)
    assert isinstance(one, list)
    assert isinstance(other, list)
    assert await store.count(RunQuery()) == {"queued": 2}
    assert commits == ["BEGIN IMMEDIATE", "COMMIT"]


async def test_a_call_that_fails_half_way_is_undone_and_the_others_are_not(
    store: SqliteStore, commits: list[str]
) -> None:
    good, bad = news(2), [new(), new(payload="\ud800")]
    several = [*news(1200), *bad]

    kept, failed, late = await asyncio.gather(
        store.enqueue(good, {}), store.enqueue(several, {}), store.enqueue(news(1), {}), return_exceptions=True
    )

    assert isinstance(failed, RequestError)
    assert kept == [run.id for run in good]
    assert isinstance(late, list)
    assert await store.count(RunQuery()) == {"queued": 3}
    assert commits.count("COMMIT") == 1
    assert "ROLLBACK" in commits


async def test_a_full_queue_costs_the_others_of_its_commit_nothing(store: SqliteStore, commits: list[str]) -> None:
    await store.enqueue(news(3), {"default": 3})
    commits.clear()

    full, other = await asyncio.gather(
        store.enqueue(news(1), {"default": 3}),
        store.enqueue([new(queue="other")], {"default": 3}),
        return_exceptions=True,
    )

    assert isinstance(full, StoreFullError)
    assert isinstance(other, list)
    assert "ROLLBACK" not in commits


async def test_a_stale_change_does_not_keep_the_others_of_its_commit_from_being_written(store: SqliteStore) -> None:
    await store.enqueue(news(2), {})
    one, other = (await store.claim(ask())).runs
    await store.finish([completed(one)])

    answers, ids, more = await asyncio.gather(
        store.finish([completed(one), completed(other)]), store.enqueue(news(1), {}), store.claim(ask())
    )

    assert answers.written == [False, True]
    assert len(ids) == len(more.runs) == 1


async def test_a_call_that_was_cancelled_before_it_began_is_withdrawn(store: SqliteStore) -> None:
    held = Held(store)
    task = await held.start()
    withdrawn = asyncio.ensure_future(store.enqueue(news(1), {}))
    kept = asyncio.ensure_future(store.enqueue(news(1), {}))
    await asyncio.sleep(0)

    withdrawn.cancel()
    await asyncio.sleep(0)
    held.let_go()
    await asyncio.gather(task, kept)

    assert await store.count(RunQuery()) == {"queued": 1}


async def test_a_read_sees_what_was_written_before_it_in_the_same_turn(store: SqliteStore) -> None:
    for number in range(1, 6):
        _, counted = await asyncio.gather(store.enqueue(news(1), {}), store.count(RunQuery()))

        assert counted == {"queued": number}


async def test_many_runs_of_every_size_of_batch_come_back_whole(store: SqliteStore) -> None:
    for count in (1, 2, 3, 5, 64, 65, 1023, 1024, 1025, 2100):
        given = [new(payload=f'{{"n":{number}}}') for number in range(count)]
        await store.enqueue(given, {"default": 1_000_000})
        claims = await store.claim(Claim(KERNEL.id, NOW, 5000, {JOB: 5000}, {}))

        assert sorted(run.id for run in claims.runs) == sorted(run.id for run in given)
        assert {run.id: run.payload for run in claims.runs} == {run.id: run.payload for run in given}
        assert await store.finish([completed(run) for run in claims.runs]) == Finishes([True] * count)


async def test_a_busy_store_keeps_its_wal_small(store: SqliteStore) -> None:
    assert store._writer is not None
    wal = store._writer.files.path.with_name("mainspring.db-wal")
    for _ in range(30):
        await store.enqueue(news(500), {})
        await store.finish([completed(run) for run in (await store.claim(ask())).runs])

    assert wal.stat().st_size < 16_000_000
