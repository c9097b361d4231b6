"""Signals: counters that grow with an operator's change and with nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Announced, BreakerRow, Entry, Look, Looked, Store
from kernel.model.job import Keep
from tests.contracts.store_promises.samples import (
    ALL,
    KERNEL,
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    line,
    new,
    row,
    tick_run,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NOTHING: set[str] = set()


async def _grown(store: Store, act: Callable[[], Awaitable[object]]) -> set[str]:
    """The names of the counters that grew while ``act`` was done; none may shrink."""
    before = await store.signals()
    await act()
    after = await store.signals()
    assert all(new >= old for old, new in zip(before, after, strict=True))
    return {name for name, old, new in zip(before._fields, before, after, strict=True) if new > old}


class Signalling:
    async def test_putting_schedules_grows_schedules(self, store: Store) -> None:
        assert await _grown(store, lambda: store.put_schedules([row()])) == {"schedules"}

    async def test_putting_schedules_too_late_grows_nothing(self, store: Store) -> None:
        await store.put_schedules([row()])

        assert await _grown(store, lambda: store.put_schedules([row()])) == NOTHING

    async def test_removing_schedules_grows_schedules(self, store: Store) -> None:
        await store.put_schedules([row()])

        assert await _grown(store, lambda: store.remove_schedules(["nightly"])) == {"schedules"}

    @pytest.mark.parametrize("paused", [True, False, None])
    async def test_pausing_or_resuming_a_schedule_grows_schedules(self, store: Store, paused: bool | None) -> None:
        await store.put_schedules([row()])

        assert await _grown(store, lambda: store.pause_schedule("nightly", paused)) == {"schedules"}

    async def test_pausing_an_unknown_schedule_grows_nothing(self, store: Store) -> None:
        assert await _grown(store, lambda: store.pause_schedule("unknown", True)) == NOTHING

    @pytest.mark.parametrize("until", [NOW + 60, None])
    async def test_pausing_or_resuming_a_queue_grows_queues(self, store: Store, until: float | None) -> None:
        await store.pause_queue("default", NOW)

        assert await _grown(store, lambda: store.pause_queue("default", until)) == {"queues"}

    async def test_the_wish_to_cancel_a_running_run_grows_cancels(self, store: Store) -> None:
        await claim_one(store, new(1))

        assert await _grown(store, lambda: store.cancel([id_of(1)], "", NOW)) == {"cancels"}

    async def test_a_look_that_wishes_a_running_run_cancelled_grows_cancels(self, store: Store) -> None:
        await store.put_schedules([row()])
        await claim_one(store, tick_run(1, NOW))

        async def look() -> None:
            await store.look([Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: Looked(cancel=[id_of(1)]))

        assert await _grown(store, look) == {"cancels"}

    async def test_cancelling_what_is_not_running_grows_nothing(self, store: Store) -> None:
        await ended(store, new(1))
        await store.enqueue([new(2)], NO_LIMIT)

        assert await _grown(store, lambda: store.cancel([id_of(1), id_of(2), id_of(3)], "", NOW)) == NOTHING

    async def test_putting_a_breaker_grows_breakers(self, store: Store) -> None:
        assert await _grown(store, lambda: store.put_breaker(BreakerRow("partner-api", 1, "open"))) == {"breakers"}

    async def test_putting_a_breaker_too_late_grows_nothing(self, store: Store) -> None:
        await store.put_breaker(BreakerRow("partner-api", 1, "open"))

        assert await _grown(store, lambda: store.put_breaker(BreakerRow("partner-api", 1, "open"))) == NOTHING

    async def test_several_changes_grow_several_counters(self, store: Store) -> None:
        async def act() -> None:
            await asyncio.gather(store.put_schedules([row()]), store.pause_queue("default", NOW))

        assert await _grown(store, act) == {"schedules", "queues"}

    async def test_the_way_of_a_run_grows_nothing(self, store: Store) -> None:
        await store.put_schedules([row()])
        looked = Looked(runs=[tick_run(3, NOW)], ticks=[line(NOW)])

        async def act() -> None:
            await store.enqueue([new(1), new(2, expires=NOW)], NO_LIMIT)
            [claimed] = (await store.claim(ask(ALL))).runs
            await store.finish([change(claimed, "retrying", due=NOW + 1)])
            [again] = await claim(store, now=NOW + 1)
            await store.record([Entry(again.id, again.token, ("load", "1"), (0.5, ""), "a\n")])
            await store.stick([id_of(1)])
            await store.release(KERNEL.id)
            await store.retry([id_of(2)], NOW)
            await store.look([Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: looked)
            await store.prune({}, Keep(0, 0, 0), NOW + 9, NOW + 9, 10)
            await store.beat(KERNEL.id, NOW)
            await store.announce(KERNEL.id, [Announced("fleet.sync", "fleet", "default", "{}")], NOW)
            await store.put("health", {"a": "1"})

        assert await _grown(store, act) == NOTHING
