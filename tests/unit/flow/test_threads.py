"""The threads in which ``def`` jobs run."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from kernel.flow.threads import ThreadPool
from kernel.testing import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool()
    yield pool
    pool.close()


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("mainspring-job")}


async def test_a_function_runs_in_a_daemon_thread_and_its_result_comes_back(pool: ThreadPool) -> None:
    result, error = await pool.run(lambda: (threading.current_thread().daemon, threading.current_thread().name))

    assert error is None
    assert result[0]
    assert result[1].startswith("mainspring-job-")


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), StopIteration(), GeneratorExit()]
)
async def test_whatever_a_function_raises_comes_back_as_a_value(pool: ThreadPool, error: BaseException) -> None:
    def function() -> None:
        raise error

    assert await pool.run(function) == (None, error)


async def test_threads_are_used_again_and_grow_with_what_runs_at_once(pool: ThreadPool) -> None:
    def here() -> str:
        return threading.current_thread().name

    one_after_another = {(await pool.run(here))[0] for _ in range(10)}
    barrier = threading.Barrier(3)
    at_once = await asyncio.gather(*(pool.run(lambda: (barrier.wait(5), here())) for _ in range(3)))

    assert len(one_after_another) == 1
    assert len({result[1] for result, _ in at_once}) == 3


async def test_closing_ends_idle_threads_at_once_and_busy_ones_after_their_function(pool: ThreadPool) -> None:
    before = names()
    gate = threading.Event()
    await asyncio.gather(*(pool.run(function) for function in _sleepers(2)))
    busy = pool.run(lambda: gate.wait(5))

    pool.close()
    await until(lambda: len(names() - before) <= 1)
    gate.set()

    assert await busy == (True, None)
    await until(lambda: names() <= before)


def _sleepers(count: int) -> list[Callable[[], int]]:
    barrier = threading.Barrier(count)
    return [lambda: barrier.wait(5)] * count


async def test_a_caller_that_has_gone_does_not_disturb_the_thread(pool: ThreadPool) -> None:
    gate = threading.Event()
    future = pool.run(lambda: gate.wait(5))

    future.cancel()
    gate.set()

    assert (await pool.run(lambda: "next"))[0] == "next"
