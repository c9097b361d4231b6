"""What the web plugin costs: how long its pages take with a long history, and what open event streams cost the queue."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession

from benchmarks.parts import configuration, end_to_end
from kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HISTORY = 1_000_000
STREAMS = 200
_JOBS, _QUEUES = 100, 10
"""Of the history: 10,000 runs of each job, which is what is kept."""
_HOURS = 12
_ERROR = json.dumps({"type": "ConnectionError", "message": "the partner answered 503", "traceback": "…"})
WEB = """
[plugins.health]
[plugins.metrics]
[plugins.web]
listen = "127.0.0.1:0"
"""
_TIMES = 40


def insert_history(path: Path, count: int) -> str:
    """Runs that ended within the last hours, one in fifty failed; the id of one of those."""
    now, numbers = time.time(), random.Random(1)  # noqa: S311 - the same history each time
    first = now - _HOURS * 3600

    def rows() -> Any:
        for number in range(count):
            at = first + (now - 60 - first) * number / count
            name = f"{int(at * 1000):012x}"
            run = f"{name[:8]}-{name[8:]}-7000-8000-{number:012x}"
            has_failed = number % 50 == 0
            took = numbers.uniform(0.01, 3.0)
            yield (
                run, f"shop.job{number % _JOBS:02}", f"queue{number % _QUEUES}", 5, 7 if has_failed else 6, at, at, at + 3000,
                1, 1, int(has_failed), "an-earlier-kernel", at, at + took, '["nightly"]' if number % 7 == 0 else None,
                None if has_failed else '"done"', _ERROR if has_failed else None, '{"car_id": "42"}',
            )  # fmt: skip

    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO run (id, job, queue, priority, state, enqueued, due, urgency, token, attempt, failures, kernel, "
            "started, finished, tags, result, error, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows(),
        )
        failed: str = connection.execute(
            "SELECT id FROM run WHERE state = 7 ORDER BY seq DESC LIMIT 1 OFFSET 100"
        ).fetchone()[0]
    connection.close()
    return failed


async def web_part(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as place:
        folder = Path(place)
        path = configuration(folder, f"sqlite:///{folder}/bench.db", "many = 100" + WEB)
        async with Kernel.from_toml(path):
            pass
        failed = await asyncio.to_thread(insert_history, folder / "bench.db", HISTORY)
        async with Kernel.from_toml(path) as kernel:
            url = await _url_of(kernel)
            pages = await time_pages(url, failed)
    return {"pages": pages, "streams": await time_streams(count)}


async def _url_of(kernel: Kernel) -> str:
    checks = (await kernel.control.health())["checks"]
    found: str = next(check["text"] for check in checks if check["plugin"] == "web")
    return found.rstrip("/")


async def time_pages(url: str, failed: str) -> dict[str, Any]:
    """Each address, one request after the other, read whole: p50 and p95 in ms, and how large the answer is."""
    addresses = [
        "/", "/runs", "/runs?state=failed", "/runs?job=shop.job07", "/runs?queue=queue3&state=completed", "/runs?tag=nightly",
        "/runs?error=partner", "/runs?error=nowhere-to-be-found", f"/runs/{failed}", "/schedules", "/queues", "/jobs",
        "/jobs/one?name=bench.noop", "/health", "/plugins", "/api/v1/runs", "/api/v1/runs?state=failed&limit=200",
    ]  # fmt: skip
    found: dict[str, Any] = {}
    async with ClientSession(headers={"Accept": "text/html"}) as session:
        for address in addresses:
            times = []
            size = 0
            for _ in range(_TIMES):
                began = time.perf_counter()
                async with session.get(url + address) as response:
                    body = await response.read()
                    if response.status != 200:
                        raise AssertionError(f"{address}: {response.status}: {body[:500]!r}")
                times.append(time.perf_counter() - began)
                size = len(body)
            times.sort()
            shown = address.replace(failed, "ID")
            found[shown] = {
                "ms_p50": 1000 * times[len(times) // 2], "ms_p95": 1000 * times[len(times) * 95 // 100], "kB": size / 1000,
            }  # fmt: skip
    return found


async def time_streams(count: int) -> dict[str, Any]:
    """End to end, with nobody looking, and with 200 streams open that read all they are sent."""
    figures = {}
    for name, address in (("nobody looks", ""), ("200 open pages", "/live"), ("200 event streams", "/api/v1/events")):
        with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as place:
            folder = Path(place)
            async with Kernel.from_toml(configuration(folder, f"sqlite:///{folder}/bench.db", WEB)) as kernel:
                await end_to_end(kernel, min(count, 5_000))
                reader = await _open_streams(await _url_of(kernel) + address) if address else None
                figures[name] = await end_to_end(kernel, count)
                if reader is not None:
                    await _end(reader)
    return figures


async def _open_streams(url: str) -> asyncio.subprocess.Process:
    """In a process of their own, as browsers are."""
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.web", url, str(STREAMS),
        cwd=Path(__file__).parents[1], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert reader.stdout is not None
    await reader.stdout.readline()
    return reader


async def _end(reader: asyncio.subprocess.Process) -> None:
    out, _ = await reader.communicate(b"\n")
    if json.loads(out)["streams"] != STREAMS:
        raise AssertionError(f"streams were dropped: {out!r}")


async def read_streams(url: str, count: int) -> None:
    """Opens so many, says so, reads until a line comes, and says how many were open to the end."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    read = 0

    async def follow(reader: asyncio.StreamReader) -> bool:
        nonlocal read
        while chunk := await reader.read(65536):
            read += len(chunk)
        return False

    streams = [await asyncio.open_connection(name, int(port)) for _ in range(count)]
    for _, writer in streams:
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    following = [asyncio.create_task(follow(reader)) for reader, _ in streams]
    while not read:
        await asyncio.sleep(0.01)
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps({"streams": sum(not task.done() for task in following), "bytes": read}))


def tables(figures: Mapping[str, Any]) -> Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
    """(title, columns, rows) to be printed."""
    pages = [
        [name, f"{row['ms_p50']:.1f}", f"{row['ms_p95']:.1f}", f"{row['kB']:.0f}"]
        for name, row in figures["pages"].items()
    ]
    bare = figures["streams"]["nobody looks"]
    streams = [
        [
            name,
            f"{row['runs_per_second']:,.0f}",
            f"{row['cpu_us_per_run']:.1f}",
            f"{bare['cpu_us_per_run'] / row['cpu_us_per_run']:.2f}",
        ]
        for name, row in figures["streams"].items()
    ]
    return [
        (f"Pages, with {HISTORY:,} runs in the store", ["", "p50 ms", "p95 ms", "kB"], pages),
        ("Runs end to end, SQLite", ["", "runs/s", "CPU µs a run", "of none, by CPU"], streams),
    ]


if __name__ == "__main__":
    asyncio.run(read_streams(sys.argv[1], int(sys.argv[2])))
