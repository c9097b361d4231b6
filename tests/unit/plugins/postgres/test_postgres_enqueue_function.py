"""``SELECT mainspring.enqueue(…)``: what it makes is what a client makes, in the caller's transaction."""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel import Client, Unique
from kernel.contracts.store import RunQuery
from kernel.model.queue import Queue
from kernel.model.unique import key_text
from kernel.testing import until
from tests.flow_kit import job_of
from tests.postgres_server import blocked_backends, execute, with_options
from tests.unit.plugins.postgres.postgres_samples import announce, claimed, done
from tests.unit.plugins.postgres.test_postgres_news import Told, _listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kernel.model.run import Run
    from plugins.postgres.store import PostgresStore
    from tests.unit.plugins.postgres.conftest import Open

Connection = Any


async def sync(car_id: str = "1", tenant: str = "main", speed: float = 1.0) -> None: ...
async def needy(car_id: str, at: int) -> None: ...


SYNC = job_of(sync, plugin="fleet")
ONCE = job_of(sync, plugin="fleet", name="once", unique=Unique(by=["car_id"], within="1h"))
JOBS = [
    SYNC,
    ONCE,
    job_of(needy, plugin="fleet"),
    job_of(sync, plugin="fleet", name="rich", queue="rich", priority=2, expires="1h", tags=["a", "b"]),
    job_of(sync, plugin="fleet", name="keyed", concurrency=1, concurrency_by="tenant", rate_limit="1/1s",
           rate_limit_by="speed"),
    job_of(sync, plugin="fleet", name="same", unique=Unique()),
    job_of(sync, plugin="fleet", name="only", unique="one"),
    job_of(sync, plugin="fleet", name="newest", unique=Unique(by=["car_id"], on_conflict="replace")),
    job_of(sync, plugin="fleet", name="quiet", unique=Unique(by=["car_id"], within="1m", on_conflict="debounce")),
    job_of(sync, plugin="fleet", name="small", queue="small"),
]  # fmt: skip
ENQUEUE = "SELECT mainspring.enqueue(job => $1, payload => $2::jsonb"


@pytest.fixture
async def store(open_store: Open) -> PostgresStore:
    """A kernel's, which has announced its jobs."""
    store = await open_store(1)
    await announce(store, *JOBS, queues=[Queue("small", max_waiting=3)])
    return store


@pytest.fixture
async def connection(store: PostgresStore, postgres_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    connection.terminate()


async def call(connection: Connection, job: str, payload: dict[str, Any] | None = None, options: str = "") -> str:
    """``options``: SQL, as ``priority => 3``."""
    text = f"{ENQUEUE}{', ' if options else ''}{options})"
    made: str = await connection.fetchval(text, job, json.dumps(payload or {}))
    return made


async def run_of(store: PostgresStore, run_id: str) -> Run:
    [run] = await store.runs(RunQuery(ids=[run_id]))
    return run


def alike(run: Run) -> dict[str, Any]:
    """What is to be the same however a run was enqueued; instants as lengths, to the second."""
    extra = run.extra._replace(expires=None, unique=None) if run.extra else None
    expires = run.extra.expires if run.extra else None
    return {
        "job": run.job, "queue": run.queue, "priority": run.priority, "payload": run.payload, "state": run.state,
        "delay": round(run.due - run.enqueued), "urgency": round(run.urgency - run.due), "extra": extra,
        "expires": None if expires is None else round(expires - run.due),
    }  # fmt: skip


# As a client


@pytest.mark.parametrize(
    "wish",
    [
        ("fleet.sync", {}, {}, ""),
        ("fleet.needy", {"car_id": "42", "at": 7}, {}, ""),
        ("fleet.sync", {"car_id": 'Straße \u2028 \U0001f697 \\ "'}, {"priority": 0}, "priority => 0"),
        ("fleet.sync", {}, {"delay": "90m"}, "delay => interval '90 minutes'"),
        ("fleet.sync", {}, {"delay": 0}, "delay => interval '0'"),
        ("fleet.sync", {}, {"at": "2020-01-01T00:00:00+00:00"}, "at => timestamptz '2020-01-01 00:00:00+00'"),
        ("fleet.sync", {}, {"queue": "other"}, "queue => 'other'"),
        ("fleet.sync", {}, {"expires": "2h", "delay": "1h"}, "expires => interval '2 hours', delay => interval '1 hour'"),
        ("fleet.rich", {}, {}, ""),
        ("fleet.rich", {}, {"tags": ["c", "a", "ü,{}"]}, "tags => ARRAY['c', 'a', 'ü,{}']"),
        ("fleet.keyed", {"tenant": "Zürich", "speed": 1e-07}, {}, ""),
        ("fleet.keyed", {}, {}, ""),
        ("fleet.quiet", {}, {}, ""),
        ("fleet.quiet", {}, {"delay": "1h"}, "delay => interval '1 hour'"),
    ],
)  # fmt: skip
async def test_a_run_is_what_a_client_would_have_made(
    store: PostgresStore, connection: Connection, postgres_url: str, wish: tuple[str, Any, Any, str]
) -> None:
    job, payload, options, sql = wish
    async with Client(postgres_url) as client:
        theirs = await client.enqueue(job, payload, **options, unique="theirs" if "quiet" in job else None)
        ours = await run_of(store, await call(connection, job, payload, sql))

    assert alike(ours) == alike(theirs)
    assert abs(ours.enqueued - time.time()) < 5
    assert uuid.UUID(ours.id).version == 7


@pytest.mark.parametrize(
    "wish",
    [
        ("fleet.once", {"car_id": "42"}, {}, ""),
        ("fleet.once", {"car_id": "42", "tenant": "b"}, {}, ""),
        ("fleet.once", {}, {"unique": "mine"}, "unique_key => 'mine'"),
        ("fleet.sync", {}, {"unique": "mine"}, "unique_key => 'mine'"),
        ("fleet.same", {"speed": 2.5}, {}, ""),
        ("fleet.same", {}, {}, ""),
        ("fleet.only", {"car_id": "7"}, {}, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_client_first", [True, False])
async def test_a_unique_run_stands_for_one_of_a_client_and_the_other_way_round(
    store: PostgresStore,
    connection: Connection,
    postgres_url: str,
    wish: tuple[str, Any, Any, str],
    *,
    by_client_first: bool,
) -> None:
    job, payload, options, sql = wish
    async with Client(postgres_url) as client:
        if by_client_first:
            first = (await client.enqueue(job, payload, **options)).id
            second = await call(connection, job, payload, sql)
        else:
            first = await call(connection, job, payload, sql)
            second = (await client.enqueue(job, payload, **options)).id

    assert first == second


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_a_key_is_written_as_everywhere_else(key_connection: tuple[asyncio.Runner, Connection], value: Any) -> None:
    runner, connection = key_connection
    text, kept = runner.run(_key_of(connection, value))

    assert text == key_text(json.loads(kept))


async def _key_of(connection: Connection, value: Any) -> tuple[str, str]:
    """The key, and the value as PostgreSQL keeps it: of some numbers it is a whole one."""
    row = await connection.fetchrow("SELECT mainspring.key_text($1::jsonb), $1::jsonb::text", json.dumps(value))
    return row[0], row[1]


@pytest.fixture
def key_connection(postgres_url: str) -> Any:
    with asyncio.Runner() as runner:

        async def connect() -> Connection:
            from plugins.postgres.store import PostgresStore as Store  # noqa: PLC0415 - only its schema is needed here

            await Store(postgres_url).upgrade()
            return await asyncpg.connect(postgres_url)

        connection = runner.run(connect())
        yield runner, connection
        runner.run(connection.close())


@pytest.mark.parametrize(
    "value", [1e15, -1e15, 1e16, 123456789012345.67, 1234567890123456.7, 5e-324, 1e-5, 0.0001, -0.0]
)
async def test_numbers_at_which_ways_of_writing_part_are_written_as_everywhere_else(
    connection: Connection, value: float
) -> None:
    text, kept = await _key_of(connection, [value])

    assert text == key_text(json.loads(kept))


async def test_ids_grow_with_time(connection: Connection) -> None:
    ids = [row[0] for row in await connection.fetch("SELECT mainspring.new_id() FROM generate_series(1, 100)")]
    await asyncio.sleep(0.002)
    later = await connection.fetchval("SELECT mainspring.new_id()")

    assert len(set(ids)) == 100
    assert max(ids) < later
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert abs((ids[0].int >> 80) / 1000 - time.time()) < 5


# In the caller's transaction


async def test_it_is_committed_and_told_with_the_callers_transaction(
    store: PostgresStore, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.postgres.listening._POLL_SECONDS", 1000.0)
    told = Told(store)
    await _listening(store)
    before = told.times
    async with connection.transaction():
        await call(connection, "fleet.sync")
        within = (await store.count(RunQuery()), told.times)

    await until(lambda: told.times > before)
    assert within == ({}, before)
    assert len(await claimed(store)) == 1


async def test_in_another_schema_it_is_that_ones(open_store: Open, connection: Connection, postgres_url: str) -> None:
    store = await open_store(1, url=with_options(postgres_url, schema="second"))
    await announce(store, SYNC)
    told = Told(store)
    await _listening(store)
    before = told.times

    made = await connection.fetchval("SELECT second.enqueue('fleet.sync')")

    await until(lambda: told.times > before)
    assert [run.id for run in await claimed(store)] == [made]


@pytest.mark.parametrize("commits", [True, False])
async def test_of_two_with_one_key_the_second_waits_for_what_becomes_of_the_first(
    store: PostgresStore, connection: Connection, postgres_url: str, *, commits: bool
) -> None:
    other = await asyncpg.connect(postgres_url)
    transaction = connection.transaction()
    await transaction.start()
    first = await call(connection, "fleet.once")
    second = asyncio.ensure_future(call(other, "fleet.once"))
    await blocked_backends(postgres_url, 1)
    await (transaction.commit() if commits else transaction.rollback())

    assert (await second == first) == commits
    assert len(await store.runs(RunQuery())) == 1
    await other.close()


async def test_nobody_waits_for_a_caller_who_does_not_commit(
    store: PostgresStore, connection: Connection, postgres_url: str
) -> None:
    made = await call(connection, "fleet.once")
    [run] = await claimed(store, jobs=("fleet.once",))
    async with connection.transaction(), asyncio.timeout(3):
        again = await call(connection, "fleet.once")
        await call(connection, "fleet.once", {"car_id": "mine"})

        await store.finish([done(run)])
        async with Client(postgres_url) as client:
            await client.enqueue_many([("fleet.once", {"car_id": f"car-{n}"}) for n in range(1000)])

    assert again == made


# Unique


async def test_the_key_is_held_for_its_period(store: PostgresStore, connection: Connection) -> None:
    first = await call(connection, "fleet.once")
    [run] = await claimed(store, jobs=("fleet.once",))
    await store.finish([done(run)])

    assert await call(connection, "fleet.once") == first
    assert await call(connection, "fleet.once", {"car_id": "2"}) != first


async def test_a_waiting_run_is_replaced_and_a_running_one_is_left(
    store: PostgresStore, connection: Connection
) -> None:
    first = await call(connection, "fleet.newest", {"tenant": "old"})
    second = await call(connection, "fleet.newest", {"tenant": "new"}, "priority => 1, tags => ARRAY['x']")
    [run] = await claimed(store, jobs=("fleet.newest",))
    third = await call(connection, "fleet.newest", {"tenant": "newer"})

    assert {first, second, third} == {run.id}
    assert (json.loads(run.payload)["tenant"], run.priority, run.extra and run.extra.tags) == ("new", 1, ("x",))


async def test_a_run_that_is_being_claimed_is_not_replaced(
    store: PostgresStore, connection: Connection, postgres_url: str
) -> None:
    first = await call(connection, "fleet.newest", {"tenant": "old"})
    kernel = await asyncpg.connect(postgres_url)
    claim = kernel.transaction()
    await claim.start()
    await kernel.execute("UPDATE mainspring.run SET state = 5, kernel = 'kernel-1', token = 1")
    second = asyncio.ensure_future(call(connection, "fleet.newest", {"tenant": "new"}))
    await blocked_backends(postgres_url, 1)
    await claim.commit()

    assert await second == first
    found = await run_of(store, first)
    assert (found.state, found.payload) == ("running", {"tenant": "old"})
    await kernel.close()


async def test_a_burst_that_is_debounced_makes_one_run(store: PostgresStore, connection: Connection) -> None:
    first = await call(connection, "fleet.quiet", {"speed": 1})
    second = await call(connection, "fleet.quiet", {"speed": 2})

    run = await run_of(store, first)
    assert second == first
    assert (run.state, run.payload["speed"], round(run.due - time.time())) == ("scheduled", 2, 60)


# What is refused


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (("fleet.sync", "[]", ""), "enqueue fleet.sync: payload: []: expected an object, the job's parameters by name"),
        (("fleet.sync", '"x"', ""), "expected an object"),
        (("fleet.sync", '{"wheels": 4}', ""), "payload: the job has no parameters wheels"),
        (("fleet.needy", '{"car_id": "1"}', ""), "payload: expected the parameters at too, which have no default"),
        (("fleet.sync", json.dumps({"car_id": "x" * 65_536}), ""), "bytes of JSON; expected at most 65536 bytes"),
        (("fleet.sync", f'{{"car_id": {"[" * 64}{"]" * 64}}}', ""), "expected at most 64 levels"),
        (("fleet.sync", f'{{"car_id": {"9" * 3100}}}', ""), "and numbers of at most 3,000 digits"),
        (("fleet.sync", "{}", "priority => 10"), "priority: 10: expected 0 (first) to 9 (last)"),
        (("fleet.sync", "{}", "priority => -1"), "priority: -1"),
        (("fleet.sync", "{}", "queue => 'my queue'"), "queue: 'my queue': expected letters, digits, _ and -, at most 100"),
        (("fleet.sync", "{}", "queue => ''"), "queue: ''"),
        (("fleet.sync", "{}", "delay => interval '-1 s'"), "delay: -00:00:01: expected zero to 100 years"),
        (("fleet.sync", "{}", "delay => interval '200 years'"), "expected zero to 100 years"),
        (("fleet.sync", "{}", "at => 'infinity'"), "at: infinity: expected an instant within 100 years"),
        (("fleet.sync", "{}", "at => now(), delay => interval '1 s'"), "delay and at: expected one of the two"),
        (("fleet.sync", "{}", "expires => interval '0'"), "expires: 00:00:00: expected more than zero"),
        (("fleet.sync", "{}", "unique_key => ''"), "unique_key: expected printable text of 1 to 500 characters"),
        (("fleet.sync", "{}", "unique_key => repeat('x', 501)"), "unique_key: expected printable text"),
        (("fleet.sync", "{}", "unique_key => E'a\\nb'"), "unique_key: expected printable text"),
        (("fleet.sync", "{}", "tags => ARRAY['']"), "tags: expected at most 20 printable texts of 1 to 100 characters"),
        (("fleet.sync", "{}", "tags => ARRAY[NULL]::text[]"), "tags: expected at most 20"),
        (("fleet.sync", "{}", "tags => array_fill('x'::text, ARRAY[21])"), "tags: expected at most 20"),
    ],
)  # fmt: skip
async def test_a_wrong_wish_is_refused_and_says_what_was_expected(
    store: PostgresStore, connection: Connection, wish: tuple[str, str, str], told: str
) -> None:
    job, payload, options = wish
    with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
        await connection.fetchval(f"{ENQUEUE}{', ' if options else ''}{options})", job, payload)

    assert told in str(caught.value)
    assert await store.count(RunQuery()) == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fleet.snyc", 'Did you mean "fleet.sync"?'),
        ("fleet.SYNC", 'Did you mean "fleet.sync"?'),
        ("x", "Kernels announce their jobs when they start, by their full names, as fleet.process-car."),
        (None, "Kernels announce their jobs when they start, by their full names, as fleet.process-car."),
        ("'; DROP SCHEMA mainspring --", "Kernels announce their jobs when they start"),
    ],
)
async def test_an_unknown_job_is_an_error_with_the_nearest_name(
    connection: Connection, name: str | None, hint: str
) -> None:
    with pytest.raises(asyncpg.UndefinedObjectError, match="there is no job named") as caught:
        await connection.fetchval("SELECT mainspring.enqueue($1)", name)

    assert caught.value.hint.startswith(hint)


async def test_what_holds_of_a_job_is_what_the_kernels_that_are_alive_say(
    open_store: Open, store: PostgresStore, connection: Connection, postgres_url: str
) -> None:
    newer = await open_store(2)
    await announce(newer, job_of(sync, plugin="fleet", priority=1), job_of(sync, plugin="old"), kernel="kernel-2")
    while_alive = await run_of(store, await call(connection, "fleet.sync"))
    await call(connection, "old.sync")
    execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0 WHERE id = 'kernel-2'")
    after = await run_of(store, await call(connection, "fleet.sync"))
    with pytest.raises(asyncpg.UndefinedObjectError):
        await call(connection, "old.sync")
    execute(postgres_url, "UPDATE mainspring.kernel SET lease_until = 0")
    with_none = await run_of(store, await call(connection, "old.sync"))

    assert (while_alive.priority, after.priority, with_none.job) == (1, 5, "old.sync")


async def test_a_payload_that_is_left_out_or_null_is_an_empty_one(store: PostgresStore, connection: Connection) -> None:
    made = [
        await connection.fetchval("SELECT mainspring.enqueue('fleet.sync')"),
        await connection.fetchval("SELECT mainspring.enqueue('fleet.sync', NULL)"),
    ]

    assert [(await run_of(store, run)).payload for run in made] == [{}, {}]


async def test_a_full_queue_is_an_error(store: PostgresStore, connection: Connection) -> None:
    for _ in range(2):
        await call(connection, "fleet.small")
    await call(connection, "fleet.sync", options="queue => 'small'")

    with pytest.raises(asyncpg.ConfigurationLimitExceededError, match='queue "small" is full: 3 runs wait') as caught:
        await call(connection, "fleet.small")

    assert caught.value.hint == "Let it drain, or raise queues.small.max_waiting."
    [run, *_] = await claimed(store, jobs=("fleet.small",), limit=1)
    assert await call(connection, "fleet.small") != run.id


async def test_a_large_queue_is_counted_once_the_indexes_may_hold_so_many(
    store: PostgresStore, connection: Connection, postgres_url: str
) -> None:
    await announce(store, *JOBS, queues=[Queue("small", max_waiting=10_001)])
    execute(
        postgres_url,
        "INSERT INTO mainspring.run (id, job, queue, priority, payload, state, enqueued, due, urgency) "
        "SELECT gen_random_uuid(), 'fleet.small', 'small', 5, '{}', 4, n, n, n FROM generate_series(1, 10001) AS n",
    )
    execute(postgres_url, "ANALYZE mainspring.run")

    with pytest.raises(asyncpg.ConfigurationLimitExceededError):
        await call(connection, "fleet.small")


# Rights


async def test_a_role_that_may_execute_it_needs_no_other_right(
    store: PostgresStore, connection: Connection, postgres_url: str
) -> None:
    role = f"web_{uuid.uuid4().hex[:12]}"
    execute(postgres_url, f"CREATE ROLE {role}")
    try:
        await connection.execute(f"GRANT USAGE ON SCHEMA mainspring TO {role}")
        await connection.execute(f"SET ROLE {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for function enqueue"):
            await call(connection, "fleet.once")
        await connection.execute(f"RESET ROLE; GRANT EXECUTE ON FUNCTION mainspring.enqueue TO {role}; SET ROLE {role}")
        made = await call(connection, "fleet.once")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM mainspring.run")
        await connection.execute("RESET ROLE")
        assert (await run_of(store, made)).state == "queued"
    finally:
        await connection.execute("RESET ROLE")
        execute(postgres_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_what_stands_in_the_callers_search_path_is_not_looked_at(
    store: PostgresStore, connection: Connection
) -> None:
    await connection.execute(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.octet_length(text) RETURNS integer LANGUAGE sql AS 'SELECT 1/0'; "
        "CREATE FUNCTION evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE sql AS 'SELECT (1/0)::text'; "
        "CREATE TEMP TABLE run (id integer); CREATE TEMP TABLE announced (job text); "
        "SET search_path = pg_temp, evil, pg_catalog, mainspring"
    )

    made = await call(connection, "fleet.sync")

    assert (await run_of(store, made)).state == "queued"
    assert math.isclose((await run_of(store, made)).enqueued, time.time(), abs_tol=5)
