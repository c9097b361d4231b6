"""Values that many viewers ask for at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kernel.testing import FakeClock
from plugins.web.recent import _MOST, Recent


def recent_of(clock: FakeClock) -> Recent:
    kernel: Any = SimpleNamespace(clock=clock)
    return Recent(kernel)


class Source:
    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        return self.asked


async def test_all_who_ask_at_once_share_one_answer() -> None:
    recent, source = recent_of(FakeClock()), Source()

    assert await asyncio.gather(*(recent.get("x", 60, source) for _ in range(20))) == [1] * 20


async def test_it_is_asked_anew_when_its_time_is_over() -> None:
    clock, source = FakeClock(), Source()
    recent = recent_of(clock)
    await recent.get("x", 60, source)
    clock.skip(59)
    assert await recent.get("x", 60, source) == 1

    clock.skip(2)

    assert await recent.get("x", 60, source) == 2


async def test_after_a_change_who_looks_next_sees_it() -> None:
    recent, source = recent_of(FakeClock()), Source()
    await recent.get("x", 60, source)

    recent.forget()

    assert await recent.get("x", 60, source) == 2


async def test_what_was_asked_for_before_a_change_is_not_kept_after_it() -> None:
    recent, go = recent_of(FakeClock()), asyncio.Event()

    async def old() -> str:
        await go.wait()
        return "old"

    async def new() -> str:
        return "new"

    first = asyncio.create_task(recent.get("x", 60, old))
    await asyncio.sleep(0)
    recent.forget()
    go.set()

    assert await first == "old"
    assert await recent.get("x", 60, new) == "new"


async def test_an_error_is_told_and_not_kept() -> None:
    recent, source = recent_of(FakeClock()), Source()

    async def fails() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await recent.get("x", 60, fails)

    assert await recent.get("x", 60, source) == 1


async def test_it_does_not_grow_without_end() -> None:
    recent, source = recent_of(FakeClock()), Source()

    for number in range(3 * _MOST):
        await recent.get(number, 60, source)

    assert len(recent._kept) <= _MOST
    assert len(recent._locks) <= _MOST + 1
