"""The memory store's own promise: nothing in it grows without bound, and nothing takes time by how much waits."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import RunQuery
from kernel.model.job import Keep
from kernel.model.run import IdSource, NewRun, RunExtra, urgency_of
from plugins.memory import instants, lanes
from plugins.memory.store import MemoryStore
from tests.contracts.store_promises.histories import Histories
from tests.contracts.store_promises.samples import ALL, NO_LIMIT, NOW, ask, change, claim, id_of, new, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.contracts.store import Store

KEPT = Keep().count


def _size_of(value: Any, seen: set[int] | None = None) -> int:
    """How many things can be reached from ``value``: it grows when something in it does."""
    seen = set() if seen is None else seen
    todo = [value]
    while todo:
        one = todo.pop()
        if id(one) not in seen and not isinstance(one, type) and type(one).__name__ not in ("module", "function"):
            seen.add(id(one))
            todo += gc.get_referents(one)
    return len(seen)


def _fresh(ids: IdSource, count: int, **fields: Any) -> list[NewRun]:
    values = {"priority": 5, "payload": "{}", "state": "queued", "extra": None, **fields}
    return [
        NewRun(
            run_id, "fleet.sync", "default", values["priority"], values["payload"], values["state"], NOW, NOW,
            urgency_of(NOW, values["priority"]), values["extra"],
        )
        for run_id in ids.next(count)
    ]  # fmt: skip


async def _finish_all(store: Store, runs: Sequence[NewRun], state: str = "completed", *, at: float = NOW) -> None:
    await store.enqueue(runs, NO_LIMIT)
    claimed = await claim(store, limit=len(runs))
    await store.finish([change(run, state, at=at) for run in claimed])


async def _count(store: Store) -> int:
    return sum((await store.count(RunQuery())).values())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_finished_runs_are_bounded_even_when_nobody_prunes(store: MemoryStore, state: str) -> None:
    ids = IdSource()

    for _ in range(30):
        await _finish_all(store, _fresh(ids, 1000), state)

    assert KEPT <= await _count(store) <= KEPT * 9 / 8


async def test_the_oldest_finished_runs_go_first_whether_completed_or_failed(store: MemoryStore) -> None:
    for start in range(0, 16_000, 1000):
        await _finish_all(store, [new(n) for n in range(start, start + 500)], "completed", at=NOW + start)
        await _finish_all(store, [new(n) for n in range(start + 500, start + 1000)], "failed", at=NOW + start + 1)

    left = numbers(await store.runs(RunQuery(limit=20_000)))
    assert left == list(range(15_999, 15_999 - len(left), -1))
    assert len(left) >= KEPT


async def test_a_job_that_keeps_more_than_usual_does_so_from_the_first_prune_on(store: MemoryStore) -> None:
    ids = IdSource()
    await _finish_all(store, _fresh(ids, 1000))
    await store.prune({"fleet.sync": Keep(count=15_000)}, Keep(), NOW, NOW, 1000)

    for _ in range(30):
        await _finish_all(store, _fresh(ids, 1000))

    assert 15_000 <= await _count(store) <= 15_000 * 9 / 8


@pytest.mark.parametrize(
    "extra", [None, RunExtra(expires=NOW + 1e6), RunExtra(unique="k", schedule="nightly", tick=NOW)]
)
async def test_runs_that_pass_leave_nothing_behind_but_what_is_kept(store: MemoryStore, extra: RunExtra | None) -> None:
    ids = IdSource()

    async def pass_some() -> int:
        for _ in range(100):
            batch = _fresh(ids, 50, extra=extra)
            await store.enqueue(batch, NO_LIMIT)
            await store.cancel([run.id for run in batch[::3]], "", NOW)
            claimed = await claim(store)
            await store.finish([change(run, "retrying", due=NOW + 9) for run in claimed[::2]])
            await store.finish([change(run) for run in claimed[1::2]])
            await store.finish([change(run) for run in await claim(store, now=NOW + 9)])
        await store.prune({}, Keep(count=0), NOW, NOW, 1_000_000)
        return _size_of(store)

    first = await pass_some()

    assert await pass_some() <= first + 200


@pytest.mark.parametrize("state", ["queued", "scheduled", "blocked"])
async def test_runs_cancelled_in_a_lane_that_nobody_claims_leave_nothing_behind(store: MemoryStore, state: str) -> None:
    ids = IdSource()
    await store.enqueue(_fresh(ids, 10, state=state, extra=RunExtra(expires=NOW + 1e6)), NO_LIMIT)
    sizes: list[int] = []

    for _ in range(50):
        for priority in (5, 1):
            batch = _fresh(ids, 100, priority=priority, state=state, extra=RunExtra(expires=NOW + 1e6))
            await store.enqueue([*batch[50:], *batch[:50]], NO_LIMIT)
            await store.cancel([run.id for run in batch], "", NOW)
        await store.prune({}, Keep(count=0), NOW, NOW + 1e9, 1_000_000)
        sizes.append(_size_of(store))

    assert max(sizes[10:]) <= max(sizes[:10]) + 100


async def test_a_run_that_is_retried_again_and_again_leaves_nothing_behind(store: MemoryStore) -> None:
    await store.enqueue([new(1), new(2)], NO_LIMIT)
    await store.cancel([id_of(1), id_of(2)], "", NOW)
    before = _size_of(store)

    for _ in range(2000):
        await store.retry([id_of(1)], NOW)
        await store.cancel([id_of(1)], "", NOW)

    assert _size_of(store) <= before + 500


async def test_a_waiting_run_takes_at_most_600_bytes(store: MemoryStore) -> None:
    ids = IdSource()
    payload = '{"car_id": "%04d", "padding": "' + "x" * 70 + '"}'
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    for _ in range(20):
        batch = [run._replace(payload=payload % number) for number, run in enumerate(_fresh(ids, 1000))]
        await store.enqueue(batch, NO_LIMIT)
        del batch

    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert sys.getsizeof(payload % 1) > 140
    assert (after - before) / 20_000 <= 600


async def test_plain_waiting_runs_are_left_alone_by_the_garbage_collector(store: MemoryStore) -> None:
    await store.enqueue([new(number) for number in range(1000)], NO_LIMIT)

    gc.collect()

    assert not any(gc.is_tracked(run) for run in store._runs.waiting.runs.values())


def _tidy_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "TIDY_FROM", 0)
    monkeypatch.setattr(instants, "TIDY_FROM", 0)


def _never_tidy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "TIDY_FROM", 1_000_000)
    monkeypatch.setattr(instants, "TIDY_FROM", 1_000_000)


@pytest.mark.parametrize("tidying", [_tidy_at_once, _never_tidy])
def test_tidying_up_changes_nothing_that_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, tidying: Callable[[pytest.MonkeyPatch], None]
) -> None:
    tidying(monkeypatch)

    class OfMemory(Histories):
        durable = False

    OfMemory().test_whatever_is_done_the_store_stands_where_the_plain_one_stands(lambda _place: MemoryStore())


async def test_a_thousand_runs_in_no_order_are_claimed_in_order_with_others_cancelled_between(
    store: MemoryStore,
) -> None:
    given = [new(n, list(ALL)[n % 3], priority=n * 7 % 10, due=NOW - n * 379 % 1000) for n in range(3000)]
    await store.enqueue(given, NO_LIMIT)
    await store.cancel([run.id for run in given if int(run.id[-12:]) % 3 < 2], "", NOW)
    expected = sorted((run.urgency, run.id) for run in given if int(run.id[-12:]) % 3 == 2)

    got = [run for _ in range(100) for run in (await store.claim(ask(limit=10))).runs]

    assert [(run.urgency, run.id) for run in got] == expected
