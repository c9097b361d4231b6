"""One part of the benchmark, in a process of its own: ``python -m benchmarks.parts PART COUNT`` prints JSON.

Through the public enqueue and the normal flow, with history and the default plugins on; every count is checked in the
store.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import bare
from benchmarks.measure import Lap, percentiles, resident_bytes
from benchmarks.plugins.bench import spread
from kernel import Kernel
from kernel.contracts.store import RunQuery
from kernel.process import tune

HERE = Path(__file__).parent
JOB = "bench.noop"
TIMED = "bench.timed"
SLICE = 1_000
KEPT = 10_000
CALLERS = 50
FEATURES = ("unique", "unique_within", "rated", "keyed", "stepping", "logging_one")


def configuration(folder: Path, store: str, settings: str = "") -> Path:
    """A plugins.toml in ``folder``: the default plugins and the benchmark's own."""
    path = folder / "plugins.toml"
    path.write_text(
        f"""
[kernel]
store = "{store}"
concurrency = 100
plugin_dirs = ["{HERE / "plugins"}"]
run_dir = "{folder / "run"}"

[plugins.fleet]
database = "{folder / "fleet.db"}"

[plugins.bench]
{settings}
""",
        encoding="utf-8",
    )
    return path


async def finished(kernel: Kernel, count: int, since: int = 0, job: str = JOB) -> None:
    """Waits until so many runs are recorded as ended, and none of the benchmark's is left (others' runs count too)."""
    while kernel.engine.recorder.written < since + count:
        await asyncio.sleep(0.001)
    while any((await kernel.store.count(RunQuery(job=job, states=["queued", "running"]))).values()):
        await asyncio.sleep(0.001)


async def check(kernel: Kernel, count: int) -> None:
    """The store must have all of this step as completed; of what is older, the pruner keeps 10,000."""
    states = await kernel.store.count(RunQuery(job=JOB))
    ended = states.pop("completed", 0)
    if any(states.values()) or ended < min(count, KEPT):
        raise AssertionError(f"{count} runs were enqueued; the store has {ended} completed and {states}")


async def end_to_end(kernel: Kernel, count: int) -> dict[str, Any]:
    """Bulk enqueue and work, side by side."""
    since = kernel.engine.recorder.written
    with Lap(count) as lap:
        for _ in range(count // SLICE):
            await kernel.enqueue_many([(JOB, bare.PAYLOAD)] * SLICE)
        await finished(kernel, count, since)
    await check(kernel, count)
    return lap.figures()


async def backlog(kernel: Kernel, count: int) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Bulk enqueue into a paused queue, what that takes in memory, then the drain alone."""
    await kernel.control.queues_pause(queue="default")
    gc.collect()
    before = resident_bytes()
    with Lap(count) as filling:
        for _ in range(count // SLICE):
            await kernel.enqueue_many([(JOB, bare.PAYLOAD)] * SLICE)
    gc.collect()
    size = (resident_bytes() - before) / count
    waiting = await kernel.store.count(RunQuery(job=JOB, states=["queued"]))
    if waiting.get("queued") != count:
        raise AssertionError(f"{count} runs were enqueued, and the store has {waiting} waiting")
    since = kernel.engine.recorder.written
    with Lap(count) as draining:
        await kernel.control.queues_resume(queue="default")
        await finished(kernel, count, since)
    await check(kernel, count)
    return filling.figures(), draining.figures(), size


async def callers(kernel: Kernel, count: int) -> dict[str, Any]:
    """50 callers, each awaiting one enqueue after the other, while the kernel works them off."""
    since = kernel.engine.recorder.written

    async def call() -> None:
        for _ in range(count // CALLERS):
            await kernel.enqueue(JOB, bare.PAYLOAD)

    with Lap(count) as lap:
        await asyncio.gather(*(call() for _ in range(CALLERS)))
        await finished(kernel, count, since)
    await check(kernel, count)
    return lap.figures()


async def latency(kernel: Kernel, count: int) -> dict[str, Any]:
    """One enqueue at a time into an idle kernel: from the call to the first line of the job."""
    plugin = sys.modules[kernel.catalog.jobs[TIMED].function.__module__]
    plugin.started.clear()
    waits = []
    for number in range(count):
        await asyncio.sleep(0.005)
        plugin.has_started.clear()
        called = time.time()
        await kernel.enqueue(TIMED, bare.PAYLOAD)
        await plugin.has_started.wait()
        waits.append(plugin.started[number] - called)
    return percentiles("latency_ms", waits)


async def queue_part(store: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as name:
        folder = Path(name)
        async with Kernel.from_toml(configuration(folder, store.format(folder=folder))) as kernel:
            await end_to_end(kernel, min(count, 5_000))  # warms caches and statements
            whole = await end_to_end(kernel, count)
            filling, draining, size = await backlog(kernel, count)
            single = await callers(kernel, count)
            idle = await latency(kernel, 300)
        return {
            "end_to_end": whole,
            "bulk_enqueue": filling,
            "drain": draining,
            "callers": single,
            "bytes_per_waiting_run": size,
            **idle,
        }


async def features_part(store: str, count: int) -> dict[str, Any]:
    """End to end, with one feature of the queue each; payloads are of 1,000 kinds, or all different where that matters."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as name:
        folder = Path(name)
        async with Kernel.from_toml(configuration(folder, store.format(folder=folder))) as kernel:
            await end_to_end(kernel, min(count, 5_000))
            for job in ("noop", *FEATURES):
                figures[job] = await with_feature(kernel, f"bench.{job}", count)
            figures["fan_in"] = await fan_in(kernel, min(count, 10_000))
    return figures


async def with_feature(kernel: Kernel, job: str, count: int) -> dict[str, Any]:
    since = kernel.engine.recorder.written
    kinds = count if "unique" in job else 1_000
    with Lap(count) as lap:
        for first in range(0, count, SLICE):
            await kernel.enqueue_many(
                [(job, {"data": f"{number % kinds:0100}"}) for number in range(first, first + SLICE)]
            )
        await finished(kernel, count, since, job)
    return lap.figures()


async def fan_in(kernel: Kernel, count: int) -> dict[str, Any]:
    """One run that depends on all others."""
    since = kernel.engine.recorder.written
    with Lap(count) as lap:
        parents: list[Any] = []
        for _ in range(count // SLICE):
            parents += await kernel.enqueue_many([(JOB, bare.PAYLOAD)] * SLICE)
        last = await kernel.enqueue(JOB, bare.PAYLOAD, depends_on=[run.id for run in parents])
        await kernel.wait(last.id)
    await finished(kernel, count + 1, since)
    return lap.figures()


OBSERVERS = """
[plugins.health]
[plugins.metrics]
listen = "127.0.0.1:0"
[plugins.notify]
[plugins.notify.channels.log]
type = "log"
[[plugins.notify.rules]]
to = ["log"]
[plugins.heartbeat]
kernel = { url = "http://127.0.0.1:9/ping", dialect = "healthchecks" }
"""
LISTENING = {
    "none": "",
    "observers": OBSERVERS,
    "observers and a listener that sleeps": OBSERVERS + "[plugins.sleeper]",
}


async def observers_part(store: str, count: int) -> dict[str, Any]:
    """End to end, with nobody listening, with the plugins that watch over a kernel, and with one that never listens again."""
    figures = {}
    for name, tables in LISTENING.items():
        with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as place:
            folder = Path(place)
            async with Kernel.from_toml(configuration(folder, store.format(folder=folder), tables)) as kernel:
                await end_to_end(kernel, min(count, 5_000))
                figures[name] = await end_to_end(kernel, count)
    return figures


async def schedules_part(count: int, seconds: float) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind in ("idle", "busy"):
        with tempfile.TemporaryDirectory(prefix="mainspring-bench-") as name:
            folder = Path(name)
            settings = f"many = {count}\nidle = {'true' if kind == 'idle' else 'false'}"
            path = configuration(folder, f"sqlite:///{folder}/bench.db", settings)
            began = time.perf_counter()
            async with Kernel.from_toml(path) as kernel:
                figures[f"{kind}_start_seconds"] = time.perf_counter() - began
                await asyncio.sleep(2.0)
                lateness = sys.modules[kernel.catalog.jobs[TIMED].function.__module__].lateness
                lateness.clear()
                with Lap(1) as lap:
                    await asyncio.sleep(seconds)
                figures[f"{kind}_cpu_percent"] = 100 * lap.cpu / lap.wall
                if kind == "busy":
                    figures["ticks_per_second"] = len(lateness) / lap.wall
                    figures |= percentiles("lateness_ms", list(lateness))
    return figures


async def _tuned(part: str, count: int) -> dict[str, Any]:
    tune()  # as `mainspring run` does
    return await measure(part, count)


async def measure(part: str, count: int) -> dict[str, Any]:  # noqa: C901, PLR0911 - one line a part
    match part:
        case "bare-heap":
            return await bare.heap(count)
        case "bare-priority-queue":
            return await bare.priority_queue(count)
        case "bare-sqlite":
            from benchmarks.bare_sqlite import measure as measure_sqlite  # noqa: PLC0415 - the other parts need it not

            return measure_sqlite(count)
        case "bare-aiocron":
            return await bare.aiocron_schedules([spread(number) for number in range(count)], 20.0)
        case "memory":
            return await queue_part("memory://", count)
        case "sqlite":
            return await queue_part("sqlite:///{folder}/bench.db", count)
        case "memory-features":
            return await features_part("memory://", count)
        case "sqlite-features":
            return await features_part("sqlite:///{folder}/bench.db", count)
        case "sqlite-observers":
            return await observers_part("sqlite:///{folder}/bench.db", count)
        case "web":
            from benchmarks.web import web_part  # noqa: PLC0415 - it imports this module

            return await web_part(count)
        case "schedules":
            return await schedules_part(count, 20.0)
        case _:
            raise SystemExit(f"{part}: no part of the benchmark")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_tuned(sys.argv[1], int(sys.argv[2])))))
