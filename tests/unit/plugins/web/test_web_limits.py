"""What one client may cost, by raw sockets: bytes, time, connections; and that the others notice nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
import time
from typing import TYPE_CHECKING

from kernel.testing import until
from plugins.web import door, guard, server, stream
from plugins.web.routes import ROUTES
from plugins.web.stream import Streams
from tests.unit.plugins.web.web_kit import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from tests.unit.plugins.web.web_kit import Web

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def connected(web: Web, count: int = 1, *, buffer: int = 0) -> AsyncIterator[list[Pair]]:
    """Raw connections; with a small ``buffer`` little waits on the client's own side."""
    host, _, port = web.host.rpartition(":")
    pairs: list[Pair] = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            if buffer:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            await asyncio.get_running_loop().sock_connect(one, (host, int(port)))
            pairs.append(await asyncio.open_connection(sock=one, limit=2**16))
        yield pairs
    finally:
        for _, writer in pairs:
            writer.close()


async def answered(web: Web, *chunks: bytes) -> bytes:
    """All that comes back for these chunks until the server hangs up, or has nothing more to say."""
    async with connected(web) as [(reader, writer)]:
        with contextlib.suppress(ConnectionError):
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(15):
                return await reader.read()
        return b""


def connections(web: Web) -> int:
    return len(web.server._runner.server.connections)


def head(web: Web, method: str = "GET", path: str = "/", *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {web.host}", "Connection: close", *lines, "", ""]).encode()


async def test_headers_that_are_too_long_or_too_many_are_refused_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        found = [
            await answered(web, head(web, "GET", "/", "X: " + "x" * 65_536)),
            await answered(web, head(web, "GET", "/" + "x" * 65_536)),
            await answered(web, head(web, "GET", "/", *(f"X-{number}: 1" for number in range(10_000)))),
            await answered(web, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            await answered(web, b"GET / HTTP/1.1\nHost: x\n\n" * 3),
        ]
        fine = await web.get("/")

    assert [answer[9:12] for answer in found] == [b"400"] * 5
    assert not any(b"Traceback" in answer or b"aiohttp" in answer for answer in found)
    assert fine.status == 200


async def test_a_body_of_a_gigabyte_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER_SECONDS", 0.2)
    async with running(tmp_path) as web:
        lines = f"Origin: {web.url}", "Content-Type: application/x-www-form-urlencoded"
        by_length = await answered(
            web, head(web, "POST", "/logout", *lines, f"Content-Length: {2**30}"), b"x" * 2_000_000
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        by_chunks = await answered(
            web, head(web, "POST", "/logout", *lines, "Transfer-Encoding: chunked"), *[chunk] * 1_600
        )
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    # Who sends on after the answer may have the connection reset before it is read.
    assert by_length[9:12] in {b"413", b""}
    assert by_chunks[9:12] in {b"413", b""}
    assert b"413" in by_length + by_chunks
    assert after - before < 50_000


async def test_headers_that_do_not_end_are_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SILENT_SECONDS", 0.3)
    async with running(tmp_path) as web:

        async def drip(start: bytes) -> float:
            async with connected(web) as [(reader, writer)]:
                writer.write(start)
                began = time.monotonic()
                reading = asyncio.create_task(reader.read())
                while not reading.done() and time.monotonic() - began < 10:
                    with contextlib.suppress(ConnectionError):
                        writer.write(b"x")
                        await writer.drain()
                    await asyncio.wait({reading}, timeout=0.02)
                with contextlib.suppress(ConnectionError):
                    await reading
                return time.monotonic() - began

        took = await asyncio.gather(
            drip(b""),
            drip(b"GE"),
            drip(b"GET / HTTP/1.1\r\nHost: "),
            drip(b"GET /static/icon.svg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        )
        await until(lambda: connections(web) == 0)

    assert max(took) < 5


async def test_a_body_that_does_not_end_is_answered_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LINGER_SECONDS", 0.1)
    hurried = [route._replace(seconds=0.2) for route in ROUTES if route.seconds is not None]
    monkeypatch.setattr(server, "ROUTES", hurried)
    async with running(tmp_path) as web:
        lines = f"Origin: {web.url}", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 100"
        answer = await answered(web, head(web, "POST", "/x/demo/y", *lines), b"x")
        broken = await answered(
            web, head(web, "POST", "/x/demo/y", lines[0], "Transfer-Encoding: chunked"), b"zz\r\nxx"
        )
        await until(lambda: connections(web) == 0)

    assert answer[9:12] == b"408"
    assert broken[9:12] == b"400"


async def test_idle_connections_are_closed_and_one_too_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 50)
    async with running(tmp_path) as web, connected(web, 50) as pairs:
        await until(lambda: connections(web) == 50)
        async with connected(web) as [(reader, _)]:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert connections(web) == 50
        async with asyncio.timeout(10):
            assert {await reader.read() for reader, _ in pairs} == {b""}
        await until(lambda: connections(web) == 0)
        reply = await web.get("/")

    assert reply.status == 200


async def test_thousands_of_idle_sockets_leave_the_kernel_its_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(6_000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        async with running(tmp_path) as web:
            async with connected(web, 1_500):
                await until(lambda: connections(web) == 1_000)
                run = await web.kernel.enqueue("demo.ok")
                done = await web.kernel.wait(run.id, "10s")
            await until(lambda: connections(web) == 0)
            reply = await web.get("/")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (done.state, reply.status) == ("completed", 200)


async def test_pipelined_requests_are_answered_in_order_and_half_closed_sockets_leave_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        one = f"GET /static/icon.svg HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode()
        missing = one.replace(b"/static/icon.svg", b"/static/none")
        found = await answered(web, (one + missing) * 50 + head(web, "GET", "/static/none"))
        async with connected(web, 20) as pairs:
            for _, writer in pairs:
                writer.write(one[:-2])
                writer.write_eof()
            for reader, _ in pairs:
                async with asyncio.timeout(5):
                    await reader.read()
        await until(lambda: connections(web) == 0)

    statuses = [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404"] * 50 + [b"404"]


async def test_an_answer_that_nobody_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SEND_SECONDS", 0.3)
    plugin = """
        from aiohttp import web
        from kernel import hookimpl

        async def much(request):
            return web.Response(body=b"x" * 20_000_000)

        @hookimpl
        def register_routes(app):
            app.add_route("GET", "much", much)
    """
    async with running(tmp_path, plugins={"much": plugin}) as web:
        await until(lambda: web.site.extensions._of != {})
        async with connected(web, buffer=4_096) as [(_, writer)]:
            writer.write(head(web, "GET", "/x/much/much"))
            await until(lambda: connections(web) == 1)
            await until(lambda: connections(web) == 0)


async def test_200_streams_are_told_and_one_that_never_reads_is_dropped(tmp_path: Path) -> None:
    streams = Streams()
    async with running(tmp_path) as web:
        web.site.live.streams = streams
        ask = f"GET /live HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode()
        async with connected(web, 200) as pairs, connected(web, buffer=4_096) as [(_, idle)]:
            for _, writer in pairs:
                writer.write(ask)
            await until(lambda: len(streams) == 200)
            idle.write(ask)
            await until(lambda: len(streams) == 201)
            streams.send(b"event: first\n\n")
            for reader, _ in pairs:
                await reader.readuntil(b"event: first\n\n")
            for _, writer in pairs[10:]:
                writer.close()
            del pairs[10:]
            await until(lambda: len(streams) == 11)
            gc.collect()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            event = b"event: changed\ndata: " + b"x" * 20_000 + b"\n\n"
            for _ in range(400):
                streams.send(event)
                await asyncio.gather(*(reader.readuntil(b"x\n\n") for reader, _ in pairs))
                if streams.dropped:
                    break
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await until(lambda: len(streams) == 10)
            streams.send(b"event: last\n\n")
            for reader, _ in pairs:
                async with asyncio.timeout(10):
                    await reader.readuntil(b"event: last\n\n")
        await until(lambda: len(streams) == 0)
        await until(lambda: connections(web) == 0)

    assert streams.dropped == 1
    assert after - before < 50_000


async def test_a_stream_that_is_a_little_behind_for_long_is_dropped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALL_SECONDS", 0.2)
    async with running(tmp_path) as web, connected(web, buffer=4_096) as [(_, idle)]:
        streams = web.site.live.streams
        idle.write(f"GET /live HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode())
        await until(lambda: len(streams) == 1)
        # More than the sockets' own buffers hold, less than it may be behind.
        for _ in range(9):
            streams.send(b"x" * 500_000)
            await asyncio.sleep(0.01)
        await until(lambda: len(streams) == 0)
        await until(lambda: connections(web) == 0)

    assert streams.dropped == 1


async def test_one_stream_too_many_is_told_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_STREAMS", 1)
    async with running(tmp_path) as web, web.session.get(web.url + "/live"):
        reply = await web.get("/live", accept="application/json")

    assert (reply.status, reply.headers["Retry-After"]) == (503, "10")


async def test_streams_hold_up_neither_the_end_nor_each_other(tmp_path: Path) -> None:
    began = time.monotonic()
    async with running(tmp_path) as web, connected(web, 20, buffer=4_096) as pairs:
        for _, writer in pairs:
            writer.write(f"GET /live HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode())
        await until(lambda: len(web.site.live.streams) == 20)
        for _ in range(20):
            web.site.live.streams.send(b"x" * 40_000)
        began = time.monotonic()
        await web.server.stop()
        took = time.monotonic() - began

    assert took < 5
