"""Three kernels on one PostgreSQL, and what happens to kernels, servers, networks and clocks.

Nothing is lost, nothing is recorded twice, and every tick is there once. How long it takes to recover is printed (-s).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest

from kernel.contracts.store import RunQuery
from kernel.testing import until
from plugins.postgres.lease import LEASE_SECONDS, START_SECONDS
from plugins.postgres.store import PostgresStore
from tests.acceptance.rig.proxy import Proxy
from tests.acceptance.rig.works import LIMIT, Harm, Works
from tests.postgres_server import as_no_root, execute, new_server, processes_of, with_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from kernel.model.run import Run
    from tests.acceptance.rig.program import Program
    from tests.postgres_server import Databases, Server

QUICK_LEASE = 4.0
FREE_SECONDS = 45.0
"""After so long nothing is held any more by a kernel that has died."""
BACK_SECONDS = 15.0
"""After so long a server that is back is used again, on a machine that has other things to do as well; else five."""
_REFUSED = "came too late and was refused"
Tell = "Callable[[str, float], None]"


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    server = new_server(is_safe=True)
    yield server
    server.remove()


@pytest.fixture
def own_url(own_server: Server) -> str:
    execute(own_server.url(), "DROP SCHEMA IF EXISTS mainspring CASCADE")
    return own_server.url()


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Prints how long something took, and has it recorded with the test."""

    def told(what: str, seconds: float) -> None:
        record_property(what, round(seconds, 1))
        print(f"\n{what}: {seconds:.1f} s", flush=True)  # noqa: T201 - asked for by -s

    return told


@asynccontextmanager
async def running(*members: Program) -> AsyncIterator[list[Program]]:
    """All of these, at work; killed at the end."""
    async with AsyncExitStack() as stack:
        started = [stack.enter_context(member) for member in members]
        for member in started:
            await member.says("ready: ", LIMIT)
        yield started


async def stop(*members: Program) -> None:
    """As a service manager does; each ends in order."""
    for member in members:
        member.send(signal.SIGTERM)
    for member in members:
        assert await member.ended(LIMIT) == 0, member.log[-4000:]


async def holds(works: Works, *kernels: str) -> None:
    """Gives all of them what takes long, and waits until each of these has begun some: they have something to lose."""
    await works.enqueue(60, 1.5, priority=0)

    async def have_long_ones(store: PostgresStore) -> bool:
        held = Counter(run.kernel for run in await running_runs(store) if run.priority == 0)
        return all(held[kernel] >= 3 for kernel in kernels)

    await works.comes_about(have_long_ones)


async def is_free(works: Works, kernel: str) -> float:
    """Waits until nothing is held by this kernel any more; how many seconds it took."""

    async def holds_nothing(store: PostgresStore) -> bool:
        return all(run.kernel != kernel for run in await running_runs(store))

    return await works.comes_about(holds_nothing)


async def running_runs(store: PostgresStore) -> list[Run]:
    return await store.runs(RunQuery(states=["running"], limit=100_000))


async def members_are(works: Works, *programs: Program) -> None:
    """Waits until these, and no others, are in the list of kernels, all alive."""
    wanted = {program.process.pid for program in programs}

    async def all_there(store: PostgresStore) -> bool:
        rows = {one.kernel.pid: one.is_alive for one in await store.members()}
        return rows.keys() == wanted and all(rows.values())

    await works.comes_about(all_there)
    assert await works.states() == dict.fromkeys(wanted, "alive")


@pytest.mark.timeout(300)
async def test_of_three_kernels_one_is_killed_and_one_is_stopped_past_its_lease_and_goes_on(
    tmp_path: Path, postgres_url: str, tell: Tell
) -> None:
    works = Works(tmp_path, postgres_url)
    async with running(works.member(), works.member(), works.member()) as (killed, stopped, other):
        ids = {program.life: await works.kernel_of(program) for program in (killed, stopped)}
        await works.enqueue(1940, 0.05)
        await until(lambda: works.over() > 300, LIMIT)
        await holds(works, *ids.values())

        now = time.monotonic()
        killed.kill()
        stopped.send(signal.SIGSTOP)
        works.harmed = {killed.life: Harm(now, now), stopped.life: Harm(now, now)}
        free_after = await is_free(works, ids[killed.life])
        tell("free after a kill -9", free_after)
        await is_free(works, ids[stopped.life])
        tell("free after a SIGSTOP", time.monotonic() - now)
        await works.all_ended()

        stopped.send(signal.SIGCONT)
        goes_on_at = time.monotonic()
        await stopped.says(_REFUSED, LIMIT)
        await members_are(works, stopped, other)
        await works.enqueue(60, 0.5)
        await until(lambda: any(line.at > goes_on_at for line in stopped.journal), LIMIT)
        tell("at work again after a SIGCONT", time.monotonic() - goes_on_at)
        await works.all_ended()
        await stop(stopped, other)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert free_after < FREE_SECONDS
    assert free_after > LEASE_SECONDS / 2


# The server


@pytest.mark.timeout(300)
async def test_the_server_is_restarted_and_is_away_for_a_while(
    tmp_path: Path, own_server: Server, own_url: str, tell: Tell
) -> None:
    await restart_twice(Works(tmp_path, own_url), own_server, tell, away=11.0)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_the_server_is_away_for_25_seconds(tmp_path: Path, own_server: Server, own_url: str, tell: Tell) -> None:
    await restart_twice(Works(tmp_path, own_url), own_server, tell, away=25.0)


async def restart_twice(works: Works, server: Server, tell: Tell, *, away: float) -> None:
    async with running(works.member(), works.member(), works.member()) as members:
        await works.enqueue(2000, 0.05)
        await until(lambda: works.over() > 200, LIMIT)

        await asyncio.to_thread(server.stop, signal.SIGINT)
        await asyncio.to_thread(server.start)
        tell("at work again after a fast restart", await is_at_work_again(works))
        said = {member: len(member.log) for member in members}
        stopped_at = time.monotonic()
        await asyncio.to_thread(server.stop, signal.SIGQUIT)
        await until(lambda: time.monotonic() - stopped_at > away, away + LIMIT)
        while_away = [told(member, said[member]) for member in members]
        await asyncio.to_thread(server.start)
        took = await is_at_work_again(works)
        tell("at work again after an immediate restart", took)
        await works.all_ended()
        await members_are(works, *members)
        await stop(*members)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert took < BACK_SECONDS
    for lines in while_away:
        assert 1 <= len(lines) <= away / 10 + 4, lines


def told(member: Program, since: int) -> list[str]:
    """What it has warned of since its log was so long."""
    return [line for line in member.log[since:].splitlines() if " level=info " not in line]


async def is_at_work_again(works: Works) -> float:
    """Waits until more has begun in each kernel; how many seconds it took."""
    begun_at = time.monotonic()
    before = [len(member.journal) for member in works.lives]

    def all_work() -> bool:
        return all(len(member.journal) > had for member, had in zip(works.lives, before, strict=True))

    await until(all_work, LIMIT)
    return time.monotonic() - begun_at


@pytest.mark.timeout(300)
async def test_the_server_stands_still_for_longer_than_a_lease(
    tmp_path: Path, own_server: Server, own_url: str, tell: Tell
) -> None:
    await pause(Works(tmp_path, own_url), own_server, tell, seconds=11.0, lease=QUICK_LEASE)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_the_server_stands_still_for_a_minute(
    tmp_path: Path, own_server: Server, own_url: str, tell: Tell
) -> None:
    await pause(Works(tmp_path, own_url), own_server, tell, seconds=60.0)


async def pause(works: Works, server: Server, tell: Tell, *, seconds: float, lease: float | None = None) -> None:
    """Longer than a lease, and than anything is waited for."""
    async with running(*(works.member(lease=lease) for _ in range(3))) as members:
        await works.enqueue(2000, 0.05)
        await until(lambda: works.over() > 200, LIMIT)

        stopped = processes_of(server)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            await until(lambda: time.monotonic() - stopped_at > seconds, seconds + LIMIT)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        took = await is_at_work_again(works)
        tell(f"at work again after the server stood still for {seconds:.0f} s", took)
        await works.all_ended()
        await members_are(works, *members)
        await stop(*members)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert took < BACK_SECONDS


# The network


@pytest.mark.timeout(300)
async def test_one_of_three_kernels_is_cut_off_from_the_server_for_longer_than_its_lease(
    tmp_path: Path, own_url: str, tell: Tell
) -> None:
    await cut_off(Works(tmp_path, own_url), tell, lease=QUICK_LEASE)


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_one_of_three_kernels_is_cut_off_for_longer_than_the_real_lease(
    tmp_path: Path, own_url: str, tell: Tell
) -> None:
    await cut_off(Works(tmp_path, own_url), tell)


async def cut_off(works: Works, tell: Tell, *, lease: float | None = None) -> None:
    """Packets are dropped: neither end is told anything. The lease runs out meanwhile, and the way is mended then."""
    async with Proxy(works.url) as proxy:
        far, *near = works.member(proxy.url, lease=lease), works.member(lease=lease), works.member(lease=lease)
        async with running(far, *near):
            far_id = await works.kernel_of(far)
            await works.enqueue(1940, 0.05)
            await until(lambda: works.over() > 300, LIMIT)
            await holds(works, far_id)

            now = time.monotonic()
            proxy.cut()
            may_begin = (lease or LEASE_SECONDS) * (START_SECONDS / LEASE_SECONDS)
            works.harmed = {far.life: Harm(now, now + may_begin + 1.0)}
            await is_free(works, far_id)
            tell("free after a partition", time.monotonic() - now)
            await works.all_ended()
            mended_at = time.monotonic()
            proxy.mend()
            await members_are(works, far, *near)
            tell("a member again after the partition", time.monotonic() - mended_at)
            await works.enqueue(120, 0.25)
            await until(lambda: any(line.at > mended_at for line in far.journal), LIMIT)
            tell("at work again after the partition", time.monotonic() - mended_at)
            await works.all_ended()
            await stop(far, *near)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert _REFUSED in far.log
    assert "the kernel's lease could not be renewed in time" in far.log
    assert len(told(far, 0)) < 40, told(far, 0)


# Clocks


@pytest.mark.timeout(300)
async def test_the_clocks_of_two_of_three_kernels_are_an_hour_off(tmp_path: Path, postgres_url: str) -> None:
    works = Works(tmp_path, postgres_url)
    began_at = time.time()
    async with running(works.member(ahead=3600.0), works.member(ahead=-3600.0), works.member()) as members:
        await works.enqueue(300, 0.01)
        late = await works.enqueue(30, 0.0, delay=2.0)
        await works.all_ended()
        await until(lambda: all(len(member.journal) > 10 for member in members), LIMIT)
        await members_are(works, *members)
        seen = [row["seen_seconds"] for row in await works.kernels()]
        await stop(*members)
    ended_at = time.time()

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert all(-1.0 < seconds < 60.0 for seconds in seen)
    for run in await works.runs():
        assert run.started is not None
        assert run.finished is not None
        assert began_at - 1.0 < run.due - 0.01 <= run.started <= run.finished < ended_at + 1.0, run
        if run.id in late:
            assert run.started - run.enqueued >= 2.0 - 0.2, run
    assert all("was set" not in member.log for member in members)


# Behind a pooler


@pytest.mark.timeout(300)
async def test_with_poll_only_three_kernels_ask_for_nothing_that_outlasts_a_transaction(
    tmp_path: Path, own_url: str
) -> None:
    async with Proxy(own_url) as proxy:
        works = Works(tmp_path, with_options(proxy.url, poll_only="true"))
        async with running(works.member(), works.member(), works.member()) as members:
            await works.enqueue(1000, 0.02)
            await works.all_ended()
            await members_are(works, *members)
            assert all(len(member.journal) > 10 for member in members)
            await stop(*members)
        assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()

    connections = proxy.asked()
    assert len(connections) > 6
    for messages in connections:
        for what in lasting(messages):
            raise AssertionError(what)


def lasting(messages: list[tuple[str, bytes]]) -> Iterator[str]:
    """What of these a pooler in transaction mode would not carry over to the next transaction."""
    is_within = False
    for kind, body in messages:
        if kind == "startup":
            names = body.split(b"\0")[0:-1:2]
            if set(names) - {b"user", b"database", b"client_encoding", b"application_name", b""}:
                yield f"startup with {names}"
        elif kind == "P":
            if not body.startswith(b"\0"):
                yield f"a prepared statement: {body[:80]!r}"
            if not is_within:
                yield f"a statement in several messages outside of a transaction: {body[:80]!r}"
        elif kind == "Q":
            lines = (line for line in body.upper().splitlines() if not line.lstrip().startswith(b"--"))
            for one in b" ".join(lines).split(b";"):
                text = one.strip()
                is_within = text.startswith(b"BEGIN") or (is_within and not text.startswith((b"COMMIT", b"ROLLBACK")))
                if text.startswith((b"LISTEN", b"SET ", b"PREPARE")) and not text.startswith(b"SET LOCAL"):
                    yield f"a change of the session: {text[:80]!r}"


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed")
async def test_three_kernels_behind_pgbouncer_in_transaction_mode(
    tmp_path: Path, own_server: Server, own_url: str
) -> None:
    with bouncer(tmp_path, own_server) as url:
        works = Works(tmp_path, with_options(url, poll_only="true", sslmode="disable"))
        async with running(works.member(), works.member(), works.member()) as members:
            await works.enqueue(1000, 0.02)
            await works.all_ended()
            await members_are(works, *members)
            await stop(*members)
        assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
        assert [told(member, 0) for member in members] == [[], [], []]
        assert all(len(member.journal) > 10 for member in members)


@contextmanager
def bouncer(folder: Path, server: Server) -> Iterator[str]:
    """Two connections of the server for all that programs do at once; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = parse_qs(urlsplit(server.url()).query)["host"][0]
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host={place} dbname=postgres user=mainspring\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(as_no_root("pgbouncer", str(folder / "pgbouncer.ini")), stdout=log, stderr=log)
    try:
        yield f"postgresql://mainspring@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(LIMIT)


# New code


SHOP = """
from kernel import Context, every, hookimpl, job
from tests.acceptance.rig.jobs.works import write


@job
async def sell(ctx: Context, seconds: float) -> int:
    write("CHORES_JOURNAL", "begun", ctx)
    return ctx.attempt


@hookimpl
def register_jobs():
    return JOBS


JOBS = [sell]
"""
MORE = """
@job
async def fresh(ctx: Context, seconds: float) -> int:
    write("CHORES_JOURNAL", "begun", ctx)
    return ctx.attempt


@every("1s", catch_up="all", catch_up_max=1000, overlap="allow")
async def beat(ctx: Context) -> int:
    write("CHORES_JOURNAL", "begun", ctx)
    return ctx.attempt


JOBS += [fresh, beat]
"""


@pytest.mark.timeout(300)
async def test_new_code_takes_the_place_of_the_old_one_kernel_after_the_other(
    tmp_path: Path, postgres_url: str
) -> None:
    works = Works(tmp_path, postgres_url, plugins="[plugins.works]\n[plugins.shop]")
    code = tmp_path / "plugins" / "shop.py"
    code.write_text(SHOP)
    async with running(works.member(), works.member()) as (first, second):
        await works.enqueue(700, 0.05)
        await works.enqueue(300, 0.0, "shop.sell")
        await until(lambda: works.over() > 50, LIMIT)

        code.write_text(SHOP + MORE)
        await stop(first)
        async with running(works.member()) as (third,):
            new = await works.enqueue(200, 0.0, "shop.fresh")
            await works.enqueue(300, 0.0, "shop.sell")
            await until(lambda: sum(line.job == "shop.beat" for line in third.journal) >= 3, LIMIT)
            await works.all_ended()
            await members_are(works, second, third)

            await works.enqueue(300, 0.05)
            await stop(second)
            async with running(works.member()) as (fourth,):
                new += await works.enqueue(200, 0.05, "shop.fresh")
                await until(lambda: any(line.run in new for line in fourth.journal), LIMIT)
                await works.all_ended()
                await members_are(works, third, fourth)
                await stop(third, fourth)

    assert not (wrong := await works.wrong()), "\n".join(wrong) + works.logs()
    assert not {line.job for program in (first, second) for line in program.journal} & {"shop.fresh", "shop.beat"}


# What a newcomer meets


CANARY = "canary-7f3a"


def _of_another(databases: Databases) -> str:
    url = databases.new()
    execute(url, "CREATE SCHEMA mainspring CREATE TABLE run (id int)")
    return url


def _of_a_newer(databases: Databases) -> str:
    url = databases.new()
    asyncio.run(PostgresStore(url).upgrade())
    execute(url, "INSERT INTO mainspring.mainspring_schema (version, name, checksum) VALUES (99, '0099_much.sql', '')")
    return url


def _read_only(databases: Databases) -> str:
    url = databases.new()
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on")
    return url


REFUSALS: dict[str, tuple[Callable[[Databases], str], str]] = {
    "a server that is not there": (
        lambda _: f"postgresql://me:{CANARY}@127.0.0.1:1/main",
        "postgresql://me@127.0.0.1:1/main: the server cannot be reached: ",
    ),
    "a host that is not there": (
        lambda _: f"postgresql://me:{CANARY}@no-such-host.invalid/main",
        "the server cannot be reached: ",
    ),
    "a database that is not there": (
        lambda databases: urlunsplit(urlsplit(databases.url)._replace(path="/not_there")),
        'database "not_there" does not exist; create the database, or name another one in the URL',
    ),
    "no name of a schema": (
        lambda databases: with_options(databases.url, schema="Bad-Name"),
        "store: schema='Bad-Name': expected at most 40 of a-z, 0-9 and _",
    ),
    "a misspelt option": (
        lambda _: f"postgresql://me:{CANARY}@db/main?pol_only=true",
        "store: 'pol_only' is no option of a PostgreSQL URL; expected schema, pool, poll_only, or one of libpq's. "
        'Did you mean "poll_only"?',
    ),
    "a schema of another program": (
        _of_another,
        'the schema "mainspring" belongs to another program; name another one by ?schema= in the URL',
    ),
    "a schema of a newer version": (_of_a_newer, "has version 99, and this program knows up to "),
    "a server that only reads": (_read_only, "the server only reads (a replica?); name the primary in the URL"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_store_that_cannot_be_used_is_one_line_and_status_2(tmp_path: Path, databases: Databases, case: str) -> None:
    make, expected = REFUSALS[case]
    works = Works(tmp_path, make(databases))

    for done in works.commands(("run",), ("runs", "list"), ("check",)):
        [said] = done.stderr.splitlines()
        assert expected in said
        assert CANARY not in done.stdout + done.stderr
        if done.args[-1] == "check" and said.startswith("note: "):  # the file is right, whatever the server is like
            assert done.returncode == 0
        else:
            assert done.returncode == 2


def test_a_wrong_password_is_one_line_and_status_2_and_is_not_shown(tmp_path: Path, own_server: Server) -> None:
    execute(own_server.url(), "DROP ROLE IF EXISTS guarded")
    execute(own_server.url(), "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    works = Works(tmp_path, own_server.url(user=f"guarded:{CANARY}"))

    for done in works.commands(("run",), ("runs", "list")):
        [said] = done.stderr.splitlines()
        assert "the server lets this user not in: password authentication failed" in said
        assert "look at user and password in the URL" in said
        assert CANARY not in done.stdout + done.stderr
        assert done.returncode == 2
