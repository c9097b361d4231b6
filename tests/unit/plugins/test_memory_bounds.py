"""The memory store's own promise: nothing in it grows without bound, and nothing takes time by how much waits."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Entry, RunQuery
from kernel.model.job import Keep
from kernel.model.rate import RateLimit
from kernel.model.run import IdSource, NewRun, RunExtra, Terms, urgency_of
from plugins.memory import instants, lane, rates
from plugins.memory.key_limits import KeyLimits
from plugins.memory.store import MemoryStore
from tests.contracts.store_promises.histories import Histories
from tests.contracts.store_promises.samples import ALL, NO_LIMIT, NOW, ask, change, claim, id_of, new, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.contracts.store import Store
    from plugins.memory.keyed_lane import Group, KeyedLane

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
    "extra",
    [
        None,
        RunExtra(expires=NOW + 1e6),
        RunExtra(unique="k", schedule="nightly", tick=NOW),
        RunExtra(concurrency_key="a", rate_key="b"),
    ],
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


@pytest.mark.parametrize("key", [None, "a"])
@pytest.mark.parametrize("state", ["queued", "scheduled", "blocked"])
async def test_runs_cancelled_in_a_lane_that_nobody_claims_leave_nothing_behind(
    store: MemoryStore, state: str, key: str | None
) -> None:
    ids = IdSource()
    extra = RunExtra(expires=NOW + 1e6, concurrency_key=key)
    await store.enqueue(_fresh(ids, 10, state=state, extra=extra), NO_LIMIT)
    sizes: list[int] = []

    for _ in range(50):
        for priority in (5, 1):
            batch = _fresh(ids, 100, priority=priority, state=state, extra=extra)
            await store.enqueue([*batch[50:], *batch[:50]], NO_LIMIT)
            await store.cancel([run.id for run in batch], "", NOW)
        await store.prune({}, Keep(count=0), NOW, NOW + 1e9, 1_000_000)
        sizes.append(_size_of(store))

    assert max(sizes[10:]) <= max(sizes[:10]) + 100


async def test_what_runs_have_written_down_and_depended_on_goes_with_them(store: MemoryStore) -> None:
    ids = IdSource()
    limits: dict[str, Any] = {"key_limits": {"fleet.sync": 40}, "key_rates": {"fleet.sync": RateLimit(1000, 10.0)}}

    async def pass_some(turn: int) -> int:
        now = NOW + turn * 1000
        for number in range(40):
            at = now + number
            parents = _fresh(ids, 20, extra=RunExtra(unique=f"{turn}-{number}", rate_key=f"{turn}-{number}"))
            [parent] = parents[:1]
            depends = Terms(unique_until=at + 5, depends_on=(parent.id,))
            children = [
                run._replace(state="blocked", terms=depends)
                for run in _fresh(ids, 20, extra=RunExtra(concurrency_key=f"{number}", unique=f"child-{turn}-{number}"))
            ]
            await store.enqueue([parent._replace(terms=Terms(unique_until=at + 5)), *children], NO_LIMIT)
            for _ in range(3):
                claimed = (await store.claim(ask(now=at, **limits))).runs
                await store.record([Entry(run.id, run.token, ("load", "1"), (0.5, ""), "a\n") for run in claimed])
                await store.finish([change(run, "completed" if number % 2 else "failed", at=at) for run in claimed])
        await store.prune({}, Keep(count=0), NOW, now + 999, 1_000_000)
        return _size_of(store)

    first = await pass_some(0)

    assert await pass_some(1) <= first + 100


async def test_what_finished_runs_have_written_down_is_bounded_even_when_nobody_prunes(store: MemoryStore) -> None:
    ids = IdSource()
    for _ in range(24):
        await store.enqueue(_fresh(ids, 500), NO_LIMIT)
        claimed = await claim(store)
        await store.record([Entry(run.id, run.token, log="a\n") for run in claimed])
        await store.finish([change(run) for run in claimed])

    assert len(store._runs.ended.noted) == await _count(store) <= KEPT * 9 / 8
    assert (await store.log(claimed[-1].id)).text == "a\n"


async def test_periods_and_rates_that_are_over_are_bounded_even_when_nobody_prunes(store: MemoryStore) -> None:
    ids = IdSource()
    limit: dict[str, Any] = {"key_rates": {"fleet.sync": RateLimit(1, 5.0)}}
    sizes: list[int] = []

    for turn in range(40):
        now = NOW + 10 * turn
        runs = [
            run._replace(extra=RunExtra(unique=run.id, rate_key=run.id), terms=Terms(unique_until=now + 5))
            for run in _fresh(ids, 200)
        ]
        await store.enqueue(runs, NO_LIMIT)
        claimed = (await store.claim(ask(now=now, **limit))).runs
        await store.finish([change(run, at=now) for run in claimed])
        sizes.append(len(store._runs.unique._runs) + len(store._runs.rates._windows))

    assert max(sizes) <= 2 * (2 * rates.TIDY_FROM)


async def test_runs_held_back_and_cancelled_again_and_again_leave_nothing_behind(store: MemoryStore) -> None:
    ids = IdSource()
    limits: dict[str, Any] = {"key_limits": {"fleet.sync": 1}, "key_rates": {"fleet.sync": RateLimit(1, 1e6)}}
    first = _fresh(ids, 1, extra=RunExtra(concurrency_key="a", rate_key="b"))
    await store.enqueue(first, NO_LIMIT)
    await store.claim(ask(**limits))
    sizes = []

    for _ in range(300):
        for key, rate_key in (("a", None), (None, "b"), ("a", "b")):
            batch = _fresh(ids, 3, extra=RunExtra(concurrency_key=key, rate_key=rate_key))
            await store.enqueue(batch, NO_LIMIT)
            assert (await store.claim(ask(**limits))).runs == []
            await store.cancel([run.id for run in batch], "", NOW)
        await store.prune({}, Keep(count=0), NOW, NOW + 1, 1_000_000)
        sizes.append(_size_of(store))

    assert max(sizes[100:]) <= max(sizes[:100]) + 20


async def test_ever_more_urgent_runs_of_a_key_that_are_cancelled_leave_nothing_behind(store: MemoryStore) -> None:
    await store.enqueue([new(5000, concurrency_key="a")], NO_LIMIT)
    sizes = []

    for number in range(2000, 0, -1):
        await store.enqueue([new(number, concurrency_key="a")], NO_LIMIT)
        await store.cancel([id_of(number)], "", NOW)
        if number % 100 == 0:
            await store.prune({}, Keep(count=0), NOW, NOW + 1, 1_000_000)
            sizes.append(_size_of(store))

    assert max(sizes[5:]) <= max(sizes[:5]) + 200


async def test_claims_pass_over_full_keys_without_looking_at_their_runs(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    may_begin = KeyLimits.may_begin

    def count_it(self: KeyLimits, lane: KeyedLane, group: Group) -> bool:
        asked.append(group)
        return may_begin(self, lane, group)

    monkeypatch.setattr(KeyLimits, "may_begin", count_it)
    limits = {"fleet.sync": 1}
    await store.enqueue([new(n, concurrency_key="a", priority=0) for n in range(20_000)], NO_LIMIT)
    await store.enqueue([new(20_000 + n, concurrency_key=f"k{n % 2000}", priority=1) for n in range(6000)], NO_LIMIT)
    rooms = {"fleet.sync": 5000}
    running = (await store.claim(ask(rooms, limit=5000, key_limits=limits))).runs
    first = len(asked)
    asked.clear()

    await store.enqueue([new(30_000 + n) for n in range(100)], NO_LIMIT)
    await store.finish([change(run) for run in running[:2]])
    got = (await store.claim(ask(rooms, limit=5000, key_limits=limits))).runs

    assert (len(running), first) == (2001, 4002)
    assert (numbers(got)[:2], len(got), len(asked)) == ([1, 22_000], 102, 4)


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
    monkeypatch.setattr(lane, "TIDY_FROM", 0)
    monkeypatch.setattr(instants, "TIDY_FROM", 0)


def _never_tidy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "TIDY_FROM", 1_000_000)
    monkeypatch.setattr(instants, "TIDY_FROM", 1_000_000)


@pytest.mark.parametrize("tidying", [_tidy_at_once, _never_tidy])
def test_tidying_up_changes_nothing_that_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, tidying: Callable[[pytest.MonkeyPatch], None]
) -> None:
    tidying(monkeypatch)

    class OfMemory(Histories):
        durable = False
        histories = (25, 45)

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
