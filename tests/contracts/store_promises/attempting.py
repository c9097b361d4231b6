"""Attempts: what became of those that did not complete is kept with their run."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.contracts.store import MOST_ATTEMPTS, AttemptRow, Store
from kernel.model.job import Keep
from kernel.model.run import Failure
from tests.contracts.store_promises.samples import (
    KERNEL,
    NO_LIMIT,
    NOW,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    new,
)  # fmt: skip

ERROR = Failure("ValueError", "bad car", 'File "\\x00"').as_text()


async def _tried(store: Store, number: int = 1, *, ended_at: float = NOW + 5, **extra: Any) -> None:
    """A run that waits for its second attempt."""
    claimed = await claim_one(store, new(number, **extra))
    await store.finish([change(claimed, "retrying", due=NOW + 9, error=ERROR, ended=ended_at)])


class Attempting:
    @pytest.mark.parametrize(
        ("fields", "outcome"),
        [
            ({"state": "retrying", "error": ERROR, "ended": NOW + 5}, "retrying"),
            ({"state": "scheduled", "reason": "snoozed", "ended": NOW + 5}, "snoozed"),
            ({"state": "queued", "reason": "the kernel stops", "ended": NOW + 5}, "interrupted"),
            ({"state": "queued", "reason": "lost with its kernel", "losses": 1, "ended": NOW + 5}, "lost"),
            ({"state": "queued", "reason": "the machine was restarted", "losses": None, "ended": NOW + 5}, "lost"),
            ({"state": "scheduled", "reason": "tried alone", "losses": 2, "ended": NOW + 5}, "lost"),
            ({"state": "failed", "error": ERROR, "reason": "attempts used up", "at": NOW + 5}, "failed"),
            ({"state": "failed", "error": ERROR, "reason": "lost", "at": NOW + 5}, "lost"),
            ({"state": "cancelled", "reason": "the car was sold", "at": NOW + 5}, "cancelled"),
        ],
        ids=str,
    )
    async def test_an_attempt_that_did_not_complete_is_kept_with_what_became_of_it(
        self, store: Store, fields: dict[str, Any], outcome: str
    ) -> None:
        claimed = await claim_one(store, new(1), now=NOW + 1)

        await store.finish([change(claimed, **fields)])

        expected = (1, NOW + 1, NOW + 5, outcome, fields.get("error"), fields.get("reason"), KERNEL.id)
        assert await store.attempts(id_of(1)) == [expected]
        assert type((await store.attempts(id_of(1)))[0]) is AttemptRow

    async def test_of_one_that_completed_or_never_began_the_run_itself_tells(self, store: Store) -> None:
        await ended(store, new(1))
        await ended(store, new(2), notes='["without a map"]')
        claimed = await claim_one(store, new(3))
        await store.finish([change(claimed, "queued", attempt=0, losses=None)])

        assert [await store.attempts(id_of(number)) for number in (1, 2, 3, 4)] == [[]] * 4
        assert await store.attempts("no id") == []

    async def test_the_attempts_of_a_run_stand_in_order_each_with_its_own_error(self, store: Store) -> None:
        await _tried(store)
        await store.enqueue([new(2)], NO_LIMIT)
        again, other = sorted(await claim(store, now=NOW + 9))
        other_error = Failure("KeyError", "'id'").as_text()
        await store.finish([change(again, "failed", at=NOW + 20, error=other_error), change(other)])

        found = await store.attempts(id_of(1))

        assert [(one.attempt, one.started, one.ended, one.outcome, one.error) for one in found] == [
            (1, NOW, NOW + 5, "retrying", ERROR),
            (2, NOW + 9, NOW + 20, "failed", other_error),
        ]
        assert await store.attempts(id_of(2)) == []

    async def test_a_stale_change_leaves_no_attempt_and_those_beside_it_do(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], NO_LIMIT)
        one, two = sorted(await claim(store))
        await store.finish([change(one, "failed", error=ERROR)])

        await store.finish([change(one, "cancelled", at=NOW + 7), change(two, "failed", error=ERROR, at=NOW + 8)])

        assert [row.outcome for row in await store.attempts(id_of(1))] == ["failed"]
        assert [row.ended for row in await store.attempts(id_of(2))] == [NOW + 8]

    async def test_an_outcome_that_cannot_be_written_leaves_no_attempt(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        broken = change(claimed, "failed", error=ERROR)._replace(state="no state")

        if type(store).__name__ != "MemoryStore":  # it keeps what it is given
            with pytest.raises(Exception, match="no state"):
                await store.finish([broken])

            assert await store.attempts(id_of(1)) == []

    async def test_of_many_attempts_the_newest_are_kept(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)
        for number in range(MOST_ATTEMPTS + 3):
            [claimed] = await claim(store, now=NOW + number)
            await store.finish([change(claimed, "queued", ended=NOW + number + 0.5)])

        found = await store.attempts(id_of(1))

        assert [row.attempt for row in found] == list(range(4, MOST_ATTEMPTS + 4))

    async def test_a_run_that_is_retried_by_hand_keeps_its_attempts(self, store: Store) -> None:
        await ended(store, new(1), "failed", error=ERROR)
        await store.retry([id_of(1)], NOW + 1)
        [claimed] = await claim(store, now=NOW + 1)
        await store.finish([change(claimed, "failed", at=NOW + 2)])

        assert [(row.attempt, row.error) for row in await store.attempts(id_of(1))] == [(1, ERROR), (2, None)]

    async def test_attempts_go_with_their_run(self, store: Store) -> None:
        await ended(store, new(1), "failed", error=ERROR)
        await ended(store, new(2, "fleet.wash"), "failed", error=ERROR)

        await store.prune({"fleet.sync": Keep(0.0, 0.0, 0)}, Keep(1e9, 1e9, 1000), NOW - 1e9, NOW + 1, 10)

        assert await store.attempts(id_of(1)) == []
        assert len(await store.attempts(id_of(2))) == 1

    async def test_a_run_that_takes_what_a_newcomer_brings_begins_anew(self, store: Store) -> None:
        await _tried(store, unique="k")

        await store.enqueue([new(2, unique="k", on_conflict="replace")], NO_LIMIT)

        assert await store.attempts(id_of(1)) == []
