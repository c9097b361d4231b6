"""What happens to a store when its server, or the way to it, fails."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from kernel.contracts.store import RunQuery
from kernel.model.errors import ConfigError, RequestError, StoreError
from plugins.postgres.store import PostgresStore
from tests.acceptance.rig.proxy import Proxy
from tests.postgres_server import blocked_backends, execute, new_server, processes_of, with_options
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, claimed, done, new, requeue, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.postgres_server import Server
    from tests.unit.plugins.postgres.conftest import Open

_KILL_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mainspring'"
_LOCK = "SELECT 1 FROM mainspring.run WHERE id = $1 FOR UPDATE"
_BY_HAND = "UPDATE mainspring.run SET payload = 'no json', priority = -5, due = 'NaN' WHERE id = '{}'"


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    server = new_server(is_safe=True)
    yield server
    server.remove()


@pytest.fixture
async def store(own_server: Server) -> AsyncIterator[PostgresStore]:
    execute(own_server.url(), "DROP SCHEMA IF EXISTS mainspring CASCADE")
    store = PostgresStore(own_server.url())
    await store.open(row())
    yield store
    await store.close()


async def _until_done(act: Callable[[], Awaitable[object]], limit: float = 20.0) -> int:
    """Tries as the kernel does; how often it failed."""
    failures = 0
    async with asyncio.timeout(limit):
        while True:
            try:
                await act()
            except StoreError:
                failures += 1
                await asyncio.sleep(0.05)
            else:
                return failures


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
async def test_a_restart_of_the_server_loses_nothing_and_the_store_goes_on_within_five_seconds(
    own_server: Server, store: PostgresStore, how: signal.Signals
) -> None:
    await store.enqueue([new() for _ in range(10)], NO_LIMIT)
    runs = await claimed(store, limit=4)

    await asyncio.to_thread(own_server.stop, how)
    with pytest.raises(StoreError):
        await store.enqueue([new()], NO_LIMIT)
    await asyncio.to_thread(own_server.start)
    begun = time.monotonic()
    await _until_done(lambda: store.finish([done(run) for run in runs]))

    assert time.monotonic() - begun < 5.0
    assert await store.count(RunQuery()) == {"completed": 4, "queued": 6}


async def test_while_the_server_is_down_there_is_one_line_in_ten_seconds(
    own_server: Server, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.on_change(lambda: None)
    await asyncio.to_thread(own_server.stop)
    try:
        for _ in range(30):
            with pytest.raises(StoreError):
                await store.signals()
            await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(own_server.start)
    await _until_done(store.signals)

    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert store.url in told[0].getMessage()


async def test_a_server_that_stands_still_is_noticed_in_time_and_nothing_is_done_twice(
    own_server: Server, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.postgres.connecting.STATEMENT_SECONDS", 1.0)
    quick = PostgresStore(own_server.url())
    await quick.open(row(2))
    await quick.enqueue([new() for _ in range(5)], NO_LIMIT)
    runs = await claimed(quick, "kernel-2")
    group = processes_of(own_server)
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with pytest.raises(StoreError):
            await quick.finish([done(run) for run in runs])
        assert time.monotonic() - begun < 15.0
    finally:
        for pid in group:
            os.kill(pid, signal.SIGCONT)

    await _until_done(lambda: quick.finish([done(run) for run in runs]))
    assert await quick.count(RunQuery()) == {"completed": 5}
    await quick.close()


async def test_a_claim_that_arrives_when_it_was_given_up_long_ago_claims_nothing(
    own_server: Server, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.postgres.connecting.STATEMENT_SECONDS", 1.0)
    monkeypatch.setattr("plugins.postgres.claim._LATE_SECONDS", 0.7)
    async with Proxy(own_server.url()) as proxy:
        far = PostgresStore(proxy.url)
        await far.open(row(2))
        await store.enqueue([new() for _ in range(5)], NO_LIMIT)
        await claimed(far, "kernel-2", limit=1)
        proxy.cut()
        left = await asyncpg.connect(own_server.url())
        sessions = await left.fetchval(_SESSIONS)
        with pytest.raises(StoreError):
            await claimed(far, "kernel-2", limit=2)

        proxy.mend()
        async with asyncio.timeout(20):
            while await left.fetchval(_SESSIONS) >= sessions:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.01)
        await left.close()

        assert await store.count(RunQuery()) == {"running": 1, "queued": 4}
        await far.close()


async def test_a_wrong_password_is_refused_and_not_shown(own_server: Server) -> None:
    execute(own_server.url(), "DROP ROLE IF EXISTS guarded")
    execute(own_server.url(), "CREATE ROLE guarded LOGIN PASSWORD 'right'")

    with pytest.raises(ConfigError, match="lets this user not in: password authentication failed") as caught:
        await PostgresStore(own_server.url(user="guarded:canary-7f3a")).open(row())

    assert "canary" not in str(caught.value)


async def test_connections_that_are_cut_while_idle_are_replaced_unseen(open_store: Open, postgres_url: str) -> None:
    store = await open_store(1)
    await store.enqueue([new()], NO_LIMIT)

    execute(postgres_url, _KILL_ALL)
    runs = await store.runs(RunQuery())
    execute(postgres_url, _KILL_ALL)
    await store.cancel([runs[0].id], "", time.time())
    execute(postgres_url, _KILL_ALL)
    await store.enqueue([new()], NO_LIMIT)

    assert await store.count(RunQuery()) == {"cancelled": 1, "queued": 1}


async def test_a_deadlock_is_solved_by_doing_one_of_the_two_again(open_store: Open, postgres_url: str) -> None:
    store = await open_store(1)
    await store.enqueue([new(), new()], NO_LIMIT)
    first, last = sorted(run.id for run in await store.runs(RunQuery()))
    by_hand = await asyncpg.connect(postgres_url)
    await by_hand.execute("SET deadlock_timeout = '20s'; BEGIN")
    await by_hand.execute(_LOCK, last)

    cancelling = asyncio.ensure_future(store.cancel([first, last], "", time.time()))
    await blocked_backends(postgres_url, 1)
    await by_hand.execute(_LOCK, first)  # which the store has: it is the one to give way
    await by_hand.execute("COMMIT")

    assert [ended.after for ended in await cancelling] == ["cancelled", "cancelled"]
    await by_hand.close()


async def test_a_call_that_fails_does_not_sink_the_others_of_its_turn(open_store: Open) -> None:
    store = await open_store(1)
    first, last = new(), new()

    answers = await asyncio.gather(
        store.enqueue([first], NO_LIMIT),
        store.enqueue([new(queue="small"), new(queue="small")], {"small": 1}),
        store.enqueue([last], NO_LIMIT),
        return_exceptions=True,
    )

    assert (answers[0], answers[2]) == ([first.id], [last.id])
    assert "small" in str(answers[1])
    assert await store.count(RunQuery()) == {"queued": 2}


async def test_a_call_that_was_given_up_before_it_began_is_not_carried_out(open_store: Open) -> None:
    store = await open_store(1)
    first = asyncio.ensure_future(store.enqueue([new()], NO_LIMIT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up = asyncio.ensure_future(store.enqueue([new()], NO_LIMIT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    given_up.cancel()
    await first

    assert await store.count(RunQuery()) == {"queued": 1}


async def test_a_text_that_cannot_be_stored_is_the_callers_error(open_store: Open) -> None:
    store = await open_store(1)

    with pytest.raises(RequestError, match="cannot be stored"):
        await store.enqueue([new(unique="zero \0")], NO_LIMIT)
    with pytest.raises(RequestError, match="cannot be stored"):
        await store.put("health", {"half": "\ud800"})


async def test_what_an_attempt_says_of_itself_is_stored_whatever_it_holds(open_store: Open) -> None:
    store = await open_store(1)
    await store.enqueue([new()], NO_LIMIT)
    [run] = await claimed(store)

    await store.finish([done(run, "cancelled", reason="zero \0 and half \ud800 🚗")])

    [found] = await store.runs(RunQuery(ids=[run.id]))
    assert (found.state, found.reason) == ("cancelled", "zero \\x00 and half \\ud800 🚗")


async def test_ids_that_are_none_are_of_no_run(open_store: Open) -> None:
    store = await open_store(1)
    strange = ["", "nonsense", "'; DROP TABLE run; --", "01890000-0000-7000-8000-00000000000G", "\0"]

    assert await store.runs(RunQuery(ids=strange)) == []
    assert await store.cancel(strange, "", 0.0) == []
    assert await store.retry(strange, 0.0) == []
    assert await store.steps(strange[1]) == {}
    assert await store.edges(strange) == []
    await store.stick(strange)


async def test_what_a_hand_has_written_harms_no_other_run(open_store: Open, postgres_url: str) -> None:
    store = await open_store(1)
    await store.enqueue([new(), new()], NO_LIMIT)
    first, _ = await store.runs(RunQuery())
    execute(postgres_url, _BY_HAND.format(first.id))

    assert len(await store.runs(RunQuery())) == 2
    assert len(await claimed(store)) == 2


async def test_a_pooled_connection_keeps_no_state_between_transactions(open_store: Open, postgres_url: str) -> None:
    store = await open_store(1, url=with_options(postgres_url, poll_only="true"))
    other = await open_store(2)
    await store.enqueue([new() for _ in range(20)], NO_LIMIT)
    runs = await claimed(store)
    await store.finish([done(run) for run in runs[:10]])
    await store.close()

    assert await other.count(RunQuery()) == {"completed": 10, "running": 10}
    assert len(await other.rescue("kernel-2", requeue)) == 10
