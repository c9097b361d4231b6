"""Prune: what has ended and is no longer kept goes; what has not ended never does."""

from __future__ import annotations

import pytest

from kernel.contracts.store import Look, Looked, RunQuery, Store
from kernel.model.job import Keep
from tests.contracts.store_promises.samples import (
    NO_LIMIT,
    NOW,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    later,
    line,
    new,
    numbers,
    row,
)  # fmt: skip

LONG = Keep(1e9, 1e9, 1000)
NONE = Keep(0.0, 0.0, 0)


async def _prune(store: Store, default: Keep = LONG, *, now: float = NOW, limit: int = 1000, **jobs: Keep) -> int:
    keep = {f"fleet.{name}": value for name, value in jobs.items()}
    return await store.prune(keep, default, NOW - 1e9, now, limit)


async def _left(store: Store) -> list[int]:
    return sorted(numbers(await store.runs(RunQuery(limit=1000))))


async def _write(store: Store, count: int) -> None:
    """So many ledger lines, a second apart, that do not fold."""
    await store.put_schedules([row()])
    ticks = [line(NOW + number, result="run", run=id_of(number)) for number in range(count)]
    await store.look([Look("nightly", NOW, NOW + count)], lambda _look, _unfinished: Looked(ticks=ticks))


class Pruning:
    async def test_a_run_that_is_still_kept_stays(self, store: Store) -> None:
        await ended(store, new(1))

        assert await _prune(store) == 0
        assert await _left(store) == [1]

    async def test_completed_runs_go_when_they_are_older_than_their_keep(self, store: Store) -> None:
        await ended(store, new(1), at=NOW)
        await ended(store, new(2), at=NOW + 11)

        gone = await _prune(store, Keep(100.0, 1e9, 1000), now=NOW + 105)

        assert (gone, await _left(store)) == (1, [2])

    @pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
    async def test_runs_that_did_not_complete_go_by_the_keep_of_failed_ones(self, store: Store, state: str) -> None:
        await ended(store, new(1, expires=NOW if state == "expired" else None), state, at=NOW)

        kept = await _prune(store, Keep(0.0, 100.0, 1000), now=NOW + 99)
        gone = await _prune(store, Keep(1e9, 100.0, 1000), now=NOW + 101)

        assert (kept, gone, await _left(store)) == (0, 1, [])

    async def test_completed_runs_go_though_older_failed_ones_stay(self, store: Store) -> None:
        await ended(store, new(1), "failed", at=NOW)
        await ended(store, new(2), at=NOW + 1)
        await ended(store, new(3), "failed", at=NOW + 2)

        await _prune(store, Keep(10.0, 1e9, 1000), now=NOW + 50)

        assert await _left(store) == [1, 3]

    async def test_the_newest_of_a_job_stay_when_there_are_more_than_its_count(self, store: Store) -> None:
        for number, state in enumerate(["completed", "failed", "completed", "cancelled", "completed"]):
            await ended(store, new(number), state, at=NOW + number)

        gone = await _prune(store, Keep(1e9, 1e9, 2), now=NOW + 9)

        assert (gone, await _left(store)) == (3, [3, 4])

    async def test_the_newest_are_those_that_ended_last_whatever_their_ids(self, store: Store) -> None:
        for number, at in ((3, NOW + 1), (2, NOW + 2), (1, NOW + 3)):
            await ended(store, new(number), at=at)

        await _prune(store, Keep(1e9, 1e9, 1), now=NOW + 9)

        assert await _left(store) == [1]

    async def test_a_count_of_zero_keeps_none(self, store: Store) -> None:
        await ended(store, new(1))

        assert await _prune(store, Keep(1e9, 1e9, 0)) == 1

    async def test_the_count_is_each_jobs_own(self, store: Store) -> None:
        for number in range(4):
            await ended(store, new(number, "fleet.sync" if number % 2 else "fleet.wash"), at=NOW + number)

        await _prune(store, Keep(1e9, 1e9, 1), now=NOW + 9)

        assert await _left(store) == [2, 3]

    async def test_a_jobs_own_keep_goes_before_the_default(self, store: Store) -> None:
        await ended(store, new(1, "fleet.sync"))
        await ended(store, new(2, "fleet.wash"))
        await ended(store, new(3, "elsewhere.job"), "cancelled")

        await _prune(store, NONE, now=NOW + 5, wash=LONG)

        assert await _left(store) == [2]

    async def test_unfinished_runs_never_go(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, due=NOW - 1000))
        await store.finish([change(claimed, "retrying", due=NOW + 5)])
        await store.enqueue([new(2)], NO_LIMIT)
        await claim(store)
        await store.enqueue([new(3, due=NOW - 1000), later(4, NOW + 5), new(5, state="blocked")], NO_LIMIT)

        gone = await _prune(store, NONE, now=NOW + 1e8)

        assert (gone, await _left(store)) == (0, [1, 2, 3, 4, 5])

    async def test_a_run_that_was_retried_does_not_go(self, store: Store) -> None:
        await ended(store, new(1), "failed")
        await store.retry([id_of(1)], NOW)

        assert await _prune(store, NONE, now=NOW + 1e8) == 0

    async def test_a_retried_run_that_ends_again_counts_from_its_new_end(self, store: Store) -> None:
        await ended(store, new(1), "failed", at=NOW)
        await store.retry([id_of(1)], NOW)
        [claimed] = await claim(store)
        await store.finish([change(claimed, "failed", at=NOW + 100)])

        gone = [await _prune(store, Keep(50.0, 50.0, 1), now=NOW + after) for after in (140, 160)]

        assert gone == [0, 1]

    async def test_no_more_runs_go_in_one_call_than_limit(self, store: Store) -> None:
        await store.enqueue([new(number) for number in range(10)], NO_LIMIT)
        await store.finish([change(run) for run in await claim(store)])

        gone = [await _prune(store, NONE, now=NOW + 1, limit=4) for _ in range(4)]

        assert gone == [4, 4, 2, 0]

    async def test_a_pruned_run_is_gone_for_every_reader(self, store: Store) -> None:
        await ended(store, new(1, tags=("a",)), "failed")

        await _prune(store, NONE, now=NOW + 1)

        assert await store.runs(RunQuery(ids=[id_of(1)])) == []
        assert await store.count(RunQuery(tag="a")) == {}
        assert await store.retry([id_of(1)], NOW) == []
        assert await store.cancel([id_of(1)], "", NOW) == []

    async def test_the_id_of_a_pruned_run_may_be_enqueued_again(self, store: Store) -> None:
        await ended(store, new(1))
        await _prune(store, NONE, now=NOW + 1)

        await store.enqueue([new(1)], NO_LIMIT)

        assert numbers((await store.claim(ask())).runs) == [1]

    async def test_ticks_that_ended_before_the_given_instant_go(self, store: Store) -> None:
        await _write(store, 5)

        gone = await store.prune({}, LONG, NOW + 3, NOW + 9, 100)

        assert gone == 3
        assert [tick.first for tick in await store.ticks("nightly", NOW, NOW + 9, 10)] == [NOW + 4, NOW + 3]

    async def test_a_range_of_ticks_stays_while_its_last_tick_is_kept(self, store: Store) -> None:
        await store.put_schedules([row()])
        kept = line(NOW, NOW + 50, 51)
        await store.look([Look("nightly", NOW, NOW + 60)], lambda _look, _unfinished: Looked(ticks=[kept]))

        await store.prune({}, LONG, NOW + 50, NOW + 60, 100)

        assert await store.ticks("nightly", NOW, NOW + 60, 10) == [kept]

    async def test_what_went_is_told_as_one_number_for_runs_and_ticks(self, store: Store) -> None:
        await _write(store, 3)
        await ended(store, new(1))

        assert await store.prune({}, NONE, NOW + 9, NOW + 9, 100) == 4

    async def test_no_more_ticks_go_in_one_call_than_limit(self, store: Store) -> None:
        await _write(store, 5)

        gone = [await store.prune({}, LONG, NOW + 100, NOW + 100, 2) for _ in range(4)]

        assert gone == [2, 2, 1, 0]
