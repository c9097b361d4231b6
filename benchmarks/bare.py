"""The limits: what the same work costs with nothing around it."""

from __future__ import annotations

import asyncio
import heapq
import time
from datetime import UTC
from typing import Any

from benchmarks.measure import Lap, percentiles

PAYLOAD = {"data": "x" * 89}


async def heap(count: int) -> dict[str, Any]:
    """A heap of payloads, each given to a no-op that is awaited directly."""
    done = 0

    async def noop(data: str) -> None:
        nonlocal done
        done += 1

    with Lap(count) as lap:
        entries: list[tuple[float, int, dict[str, str]]] = []
        for number in range(count):
            heapq.heappush(entries, (float(number & 7), number, dict(PAYLOAD)))
        while entries:
            await noop(**heapq.heappop(entries)[2])
    assert done == count
    return lap.figures()


async def priority_queue(count: int, workers: int = 100) -> dict[str, Any]:
    """asyncio.PriorityQueue with workers that await a no-op."""
    queue: asyncio.PriorityQueue[tuple[float, int, dict[str, str]]] = asyncio.PriorityQueue()
    done = 0

    async def noop(data: str) -> None:
        pass

    async def work() -> None:
        nonlocal done
        while True:
            _, _, payload = await queue.get()
            await noop(**payload)
            done += 1
            queue.task_done()

    with Lap(count) as lap:
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for number in range(count):
            queue.put_nowait((0.0, number, PAYLOAD))
        await queue.join()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == count
    return lap.figures()


async def aiocron_schedules(specs: list[str], seconds: float) -> dict[str, Any]:
    """Bare aiocron, one timer a schedule: start-up, CPU and lateness."""
    import aiocron  # noqa: PLC0415 - measured with its import left out

    lateness: list[float] = []

    def note() -> None:
        now = time.time()
        lateness.append(now - int(now))  # every tick falls on a whole second

    began = time.perf_counter()
    timers = [aiocron.crontab(spec, func=note, tz=UTC, loop=asyncio.get_running_loop()) for spec in specs]
    await asyncio.sleep(0)
    started = time.perf_counter() - began
    with Lap(1) as lap:
        await asyncio.sleep(seconds)
    for timer in timers:
        timer.stop()
    return {
        "start_seconds": started,
        "cpu_percent": 100 * lap.cpu / lap.wall,
        "ticks_per_second": len(lateness) / lap.wall,
        **percentiles("lateness_ms", lateness),
    }
