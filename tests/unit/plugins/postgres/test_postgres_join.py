"""A client on the caller's own connection: its runs are committed or rolled back with whatever else is in the transaction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from kernel import Client, PayloadError, RequestError, StoreError, StoreFullError, Unique, UnknownNameError
from kernel.contracts.store import RunQuery
from kernel.model.queue import Queue
from kernel.testing import until
from plugins.postgres import enqueue
from plugins.sqlite.store import SqliteStore
from tests.flow_kit import job_of
from tests.postgres_server import blocked_backends, with_options
from tests.unit.plugins.postgres.postgres_samples import NO_LIMIT, announce, claimed, done, new
from tests.unit.plugins.postgres.test_postgres_news import Told, _listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from plugins.postgres.store import PostgresStore
    from tests.postgres_server import Databases
    from tests.unit.plugins.postgres.conftest import Open

Connection = Any


async def sync(car_id: str = "1", tenant: str = "main") -> None: ...


SYNC = job_of(sync, plugin="fleet")
ONCE = job_of(sync, plugin="fleet", name="once", unique=Unique(by=["car_id"], within="1h"))
NEWEST = job_of(sync, plugin="fleet", name="newest", unique=Unique(by=["car_id"], on_conflict="replace"))
SMALL = job_of(sync, plugin="fleet", name="small", queue="small")
JOBS = ("fleet.sync", "fleet.once", "fleet.newest", "fleet.small")


@pytest.fixture
async def store(open_store: Open) -> PostgresStore:
    """A kernel's, which has announced its jobs."""
    store = await open_store(1)
    await announce(store, SYNC, ONCE, NEWEST, SMALL, queues=[Queue("small", max_waiting=2)])
    return store


@pytest.fixture
async def client(store: PostgresStore, postgres_url: str) -> AsyncIterator[Client]:
    async with Client(postgres_url) as client:
        yield client


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Connection]:
    """The caller's, with a table of his own."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.invoice (number integer)")
    yield connection
    connection.terminate()


async def states(store: PostgresStore) -> list[str]:
    """Oldest first."""
    return [str(run.state) for run in reversed(await store.runs(RunQuery()))]


# With the caller's transaction


async def test_a_run_is_there_once_the_caller_has_committed(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO shop.invoice VALUES (1)")
        run = await client.enqueue("fleet.sync", {"car_id": "42"}, connection=connection, priority=3, tags=["a"])
        before = await claimed(store, jobs=JOBS)
    after = await claimed(store, jobs=JOBS)

    assert before == []
    assert [(one.id, one.priority, one.extra and one.extra.tags) for one in after] == [(run.id, 3, ("a",))]
    assert run.is_new


async def test_a_run_is_gone_with_a_transaction_that_is_rolled_back(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await client.enqueue_many([("fleet.sync", None)] * 3, connection=connection)
    await transaction.rollback()

    assert await states(store) == []


async def test_a_client_may_be_made_for_one_transaction(
    store: PostgresStore, connection: Connection, postgres_url: str
) -> None:
    async with connection.transaction(), Client(postgres_url, connection=connection) as client:
        await client.enqueue("fleet.sync")
        before = await states(store)

    assert (before, await states(store)) == ([], ["queued"])


async def test_a_connection_from_a_pool_will_do(store: PostgresStore, client: Client, postgres_url: str) -> None:
    async with (
        asyncpg.create_pool(postgres_url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        await client.enqueue("fleet.sync", connection=connection)

    assert await states(store) == ["queued"]


async def test_kernels_are_told_when_the_caller_commits(
    store: PostgresStore, client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.postgres.listening._POLL_SECONDS", 1000.0)
    told = Told(store)
    await _listening(store)
    before = told.times
    async with connection.transaction():
        await client.enqueue("fleet.sync", connection=connection)
        await client.enqueue("fleet.sync", connection=connection)
        await asyncio.sleep(0.1)  # time enough to be told of what is not committed
        within = told.times

    await until(lambda: told.times > within)
    assert within == before


async def test_a_client_that_joins_nothing_writes_at_once(store: PostgresStore, client: Client) -> None:
    await client.enqueue("fleet.sync")

    assert await states(store) == ["queued"]


# What fails


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (("fleet.snyc", None), UnknownNameError),
        (("fleet.sync", {"car_id": 42}), PayloadError),
        (("fleet.sync", None, {"priority": 10}), RequestError),
        (("fleet.sync", None, {"depends_on": ["01890000-0000-7000-8000-000000000001"]}), RequestError),
    ],
)
async def test_a_wrong_wish_leaves_the_transaction_as_it_was(
    store: PostgresStore, client: Client, connection: Connection, wish: Any, error: type[Exception]
) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO shop.invoice VALUES (1)")
        with pytest.raises(error):
            await client.enqueue_many([("fleet.sync", None), wish], connection=connection)
        await client.enqueue("fleet.small", connection=connection)

    assert await connection.fetchval("SELECT count(*) FROM shop.invoice") == 1
    assert [run.job for run in await store.runs(RunQuery())] == ["fleet.small"]


async def test_a_full_queue_is_an_error_and_the_transaction_goes_on(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    await client.enqueue("fleet.small")
    async with connection.transaction():
        await client.enqueue("fleet.small", connection=connection)
        with pytest.raises(StoreFullError, match='queue "small" is full'):
            await client.enqueue("fleet.small", connection=connection)
        await client.enqueue("fleet.sync", connection=connection)

    assert sorted(run.job for run in await store.runs(RunQuery())) == ["fleet.small", "fleet.small", "fleet.sync"]


async def test_what_cannot_be_joined_is_said(
    store: PostgresStore, client: Client, connection: Connection, databases: Databases
) -> None:
    with pytest.raises(RequestError, match="it is in no transaction; begin one, or leave connection= out"):
        await client.enqueue("fleet.sync", connection=connection)
    with pytest.raises(RequestError, match="object: expected a connection of asyncpg; with another driver"):
        await client.enqueue("fleet.sync", connection=object())
    elsewhere = await asyncpg.connect(databases.new())
    async with elsewhere.transaction():
        with pytest.raises(RequestError, match="it leads to another server, or to the database mainspring_test"):
            await client.enqueue("fleet.sync", connection=elsewhere)
    await elsewhere.close()
    with pytest.raises(RequestError, match="it is closed"):
        await client.enqueue("fleet.sync", connection=elsewhere)

    assert await states(store) == []


async def test_with_a_store_that_has_no_such_transactions_it_is_a_clear_error(
    connection: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "store.db"
    own = SqliteStore(file)
    await own.open(None)
    await announce(own, SYNC)
    async with Client(f"sqlite:///{file}") as client:
        with pytest.raises(RequestError, match="only a PostgreSQL store has transactions that others can join"):
            await client.enqueue("fleet.sync", connection=connection)
    await own.close()


# Unique


async def test_a_run_with_the_key_is_answered_whoever_has_enqueued_it(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    first = await client.enqueue("fleet.once", {"car_id": "1"})
    async with connection.transaction():
        second = await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)
        third = await client.enqueue("fleet.once", {"car_id": "2"}, connection=connection)
        fourth = await client.enqueue("fleet.once", {"car_id": "2"}, connection=connection)
    fifth = await client.enqueue("fleet.once", {"car_id": "2"})

    assert (second.id, second.is_new) == (first.id, False)
    assert (third.is_new, fourth.id, fourth.is_new, fifth.id) == (True, third.id, False, third.id)


@pytest.mark.parametrize("commits", [True, False])
async def test_of_two_that_enqueue_one_key_the_second_waits_for_what_becomes_of_the_first(
    store: PostgresStore, client: Client, connection: Connection, postgres_url: str, *, commits: bool
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    first = await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)
    second = asyncio.ensure_future(client.enqueue("fleet.once", {"car_id": "1"}))
    await blocked_backends(postgres_url, 1)
    await (transaction.commit() if commits else transaction.rollback())

    answer = await second

    assert (answer.id == first.id, answer.is_new) == (commits, not commits)
    assert len(await store.runs(RunQuery())) == 1


async def test_one_that_joins_waits_for_one_that_has_joined_before(
    store: PostgresStore, client: Client, connection: Connection, postgres_url: str
) -> None:
    other = await asyncpg.connect(postgres_url)
    transaction, others = connection.transaction(), other.transaction()
    await transaction.start()
    await others.start()
    first = await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)
    second = asyncio.ensure_future(client.enqueue("fleet.once", {"car_id": "1"}, connection=other))
    await blocked_backends(postgres_url, 1)
    await transaction.commit()

    assert (await second).id == first.id
    await others.commit()
    await other.close()


def _in_between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[None]]) -> None:
    """The first time that it is decided who enters in the caller's transaction, ``act`` is done before that is carried out."""
    scope = enqueue.insert_beside.__globals__
    enter = scope["enter"]

    async def entered(*given: Any, **options: Any) -> Any:
        entrance = await enter(*given, **options)
        if options:
            monkeypatch.setitem(scope, "enter", enter)
            await act()
        return entrance

    monkeypatch.setitem(scope, "enter", entered)


async def test_a_period_that_began_and_whose_run_ended_in_between_holds(
    store: PostgresStore, client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: list[str] = []

    async def be_faster() -> None:
        theirs.append((await client.enqueue("fleet.once", {"car_id": "1"})).id)
        [run] = await claimed(store, jobs=JOBS)
        await store.finish([done(run)])

    _in_between(monkeypatch, be_faster)
    async with connection.transaction():
        run = await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)

    assert [run.id] == theirs
    assert await states(store) == ["completed"]


async def test_a_run_that_began_in_between_is_not_replaced(
    store: PostgresStore, client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.enqueue("fleet.newest", {"car_id": "1", "tenant": "old"})

    async def begin() -> None:
        assert len(await claimed(store, jobs=JOBS)) == 1

    _in_between(monkeypatch, begin)
    async with connection.transaction():
        second = await client.enqueue("fleet.newest", {"car_id": "1", "tenant": "new"}, connection=connection)

    assert (second.id, second.state, second.payload["tenant"]) == (first.id, "running", "old")


async def test_a_waiting_run_is_replaced_and_a_running_one_is_left_as_it_is(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    first = await client.enqueue("fleet.newest", {"car_id": "1", "tenant": "old"})
    async with connection.transaction():
        replaced = await client.enqueue("fleet.newest", {"car_id": "1", "tenant": "new"}, connection=connection)
    [run] = await claimed(store, jobs=JOBS)
    async with connection.transaction():
        left = await client.enqueue("fleet.newest", {"car_id": "1", "tenant": "newer"}, connection=connection)

    assert {first.id, replaced.id, left.id} == {run.id}
    assert (run.payload, left.payload["tenant"]) == ('{"car_id":"1","tenant":"new"}', "new")


async def test_in_repeatable_read_what_somebody_else_has_done_since_is_an_error_that_says_so(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute("INSERT INTO shop.invoice VALUES (1)")
        await client.enqueue("fleet.once", {"car_id": "1"})
        with pytest.raises(StoreError, match="roll it back and try it again"):
            await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)
        await client.enqueue("fleet.sync", connection=connection)

    assert await states(store) == ["queued", "queued"]


# Nobody waits for a caller who does not commit


async def test_the_run_that_has_the_key_may_end_meanwhile(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    await client.enqueue("fleet.once", {"car_id": "1"})
    [run] = await claimed(store, jobs=JOBS)
    async with connection.transaction(), asyncio.timeout(3):
        await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)

        await store.finish([done(run)])

    assert await states(store) == ["completed"]


async def test_other_keys_are_enqueued_meanwhile(store: PostgresStore, client: Client, connection: Connection) -> None:
    async with connection.transaction(), asyncio.timeout(5):
        await client.enqueue("fleet.once", {"car_id": "1"}, connection=connection)

        # All of the locks by which keys are told apart, many times over
        await client.enqueue_many([("fleet.once", {"car_id": f"car-{n}"}) for n in range(2000)])

    assert len(await store.runs(RunQuery(limit=5000))) == 2001


@pytest.mark.parametrize(
    "case",
    [
        ("completed", "cancel", "queued"),
        ("failed", "cancel", "cancelled"),
        ("failed", "run", "queued"),
        ("cancelled", "cancel", "cancelled"),
    ],
)
async def test_a_run_on_which_a_new_one_depends_may_end_before_the_commit(
    store: PostgresStore, client: Client, connection: Connection, case: tuple[str, str, str]
) -> None:
    end, on_failure, state = case
    parent = await client.enqueue("fleet.sync")
    [run] = await claimed(store, jobs=JOBS)
    async with connection.transaction(), asyncio.timeout(3):
        child = await client.enqueue(
            "fleet.sync", depends_on=[parent], on_parent_failure=on_failure, connection=connection
        )
        grandchild = await client.enqueue("fleet.sync", depends_on=[child], connection=connection)

        await store.finish([done(run, end)])

    found = await client.get(child.id)
    reason = {"failed": "has failed", "cancelled": "was cancelled"}.get(end)
    assert (child.state, found.state) == ("blocked", state)
    assert found.reason == (f"depends on {parent.id}, which {reason}" if state == "cancelled" else None)
    assert (await client.get(grandchild.id)).state == ("cancelled" if state == "cancelled" else "blocked")


async def test_a_run_that_depends_on_one_that_ends_after_the_commit_goes_then(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    parents = await client.enqueue_many([("fleet.sync", None)] * 2)
    runs = await claimed(store, jobs=JOBS)
    async with connection.transaction():
        child = await client.enqueue("fleet.sync", depends_on=parents, connection=connection)
        await store.finish([done(runs[0])])
    between = (await client.get(child.id)).state

    freed = (await store.finish([done(runs[1])])).freed

    assert (between, freed, (await client.get(child.id)).state) == ("blocked", True, "queued")


async def test_a_run_that_depends_on_one_of_the_same_transaction_waits_for_it(
    store: PostgresStore, client: Client, connection: Connection
) -> None:
    async with connection.transaction():
        parent = await client.enqueue("fleet.sync", connection=connection)
        child = await client.enqueue("fleet.sync", depends_on=[parent], connection=connection)
    [run] = await claimed(store, jobs=JOBS)
    await store.finish([done(run)])

    assert (run.id, (await client.get(child.id)).state) == (parent.id, "queued")


async def test_a_run_of_another_schemas_store_enters_there(
    open_store: Open, connection: Connection, postgres_url: str
) -> None:
    url = with_options(postgres_url, schema="second")
    store = await open_store(1, url=url)
    await announce(store, SYNC)
    await store.enqueue([new()], NO_LIMIT)
    [parent] = await claimed(store)
    async with Client(url) as client:
        async with connection.transaction():
            child = await client.enqueue("fleet.sync", depends_on=[parent.id], connection=connection)
            await store.finish([done(parent)])

        assert (await client.get(child.id)).state == "queued"
