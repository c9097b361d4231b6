"""Looks: one kernel makes each, in one transaction, knowing the schedule's unfinished runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Look, Looked, RunQuery, Store, Unfinished
from tests.contracts.store_promises.samples import (
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
    numbers,
    row,
    see,
    state_of,
    tick_run,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK = Look("nightly", NOW, NOW + 60)


class Decide:
    """Answers each look with the next of ``answers`` and keeps what it was asked."""

    def __init__(self, *answers: Looked) -> None:
        self.answers = list(answers)
        self.looks: list[Look] = []
        self.unfinished: list[list[Unfinished]] = []

    def __call__(self, look: Look, unfinished: Sequence[Unfinished]) -> Looked:
        self.looks.append(look)
        self.unfinished.append(list(unfinished))
        return self.answers.pop(0)


class Looking:
    async def test_a_look_inserts_its_runs_and_writes_its_ledger_lines(self, store: Store) -> None:
        await store.put_schedules([row()])
        run = tick_run(1, NOW + 30)
        looked = Looked(runs=[run], ticks=[line(NOW + 10), line(NOW + 30, result="run", run=run.id)])

        assert await store.look([LOOK], Decide(looked)) == [looked]

        assert numbers(await claim(store, now=NOW + 60)) == [1]
        assert await store.ticks("nightly", NOW, NOW + 60, 10) == [*reversed(looked.ticks)]

    async def test_a_look_moves_looked_until_and_nothing_else_of_the_row(self, store: Store) -> None:
        await store.put_schedules([row(paused=False, dynamic=True), row("other")])

        await store.look([LOOK], Decide(Looked()))

        rows = {found.name: found for found in await store.schedules()}
        assert rows == {
            "nightly": row(looked_until=NOW + 60, paused=False, dynamic=True),
            "other": row("other"),
        }

    async def test_a_look_that_another_kernel_has_made_already_does_nothing(self, store: Store) -> None:
        await store.put_schedules([row(looked_until=NOW + 1)])
        decide = Decide(Looked(runs=[tick_run(1, NOW)], ticks=[line(NOW)]))

        assert await store.look([LOOK], decide) == [None]

        assert decide.looks == []
        assert await store.runs(RunQuery()) == []
        assert await store.ticks("nightly", NOW, NOW, 10) == []
        assert await store.schedules() == [row(looked_until=NOW + 1)]

    async def test_a_look_by_what_was_put_before_does_nothing(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.put_schedules([row(anchor=NOW + 1, version=2)])
        decide = Decide(Looked())

        assert await store.look([LOOK], decide) == [None]
        assert await store.look([LOOK._replace(version=2)], decide) == [Looked()]

    async def test_a_look_at_an_unknown_schedule_does_nothing(self, store: Store) -> None:
        assert await store.look([LOOK], Decide()) == [None]

    async def test_of_two_looks_with_the_same_expectation_one_counts(self, store: Store) -> None:
        await store.put_schedules([row()])

        answers = await asyncio.gather(
            store.look([LOOK], Decide(Looked(runs=[tick_run(1, NOW)]))),
            store.look([LOOK], Decide(Looked(runs=[tick_run(2, NOW)]))),
        )

        assert [answer is None for [answer] in answers] == [False, True]
        assert numbers(await store.runs(RunQuery())) == [1]

    async def test_a_look_at_what_was_put_back_counts(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.look([LOOK], Decide(Looked()))

        answer = await store.look([Look("nightly", NOW + 60, NOW)], Decide(Looked()))

        assert answer == [Looked()]
        assert await store.schedules() == [row()]

    async def test_looks_at_several_schedules_are_answered_in_their_order(self, store: Store) -> None:
        await store.put_schedules([row(name) for name in "abc"])
        looked = [Looked(ticks=[line(NOW, schedule=name)]) for name in "ca"]

        answer = await store.look(
            [Look("c", NOW, NOW + 1), Look("b", NOW - 1, NOW + 1), Look("a", NOW, NOW + 1)], Decide(*looked)
        )

        assert answer == [looked[0], None, looked[1]]

    async def test_looks_of_one_schedule_are_carried_out_in_their_order(self, store: Store) -> None:
        await store.put_schedules([row()])
        looks = [Look("nightly", NOW, NOW + 1), Look("nightly", NOW, NOW + 9), Look("nightly", NOW + 1, NOW + 2)]
        decide = Decide(Looked(runs=[tick_run(1, NOW + 1)]), Looked(runs=[tick_run(2, NOW + 2)]))

        answer = await store.look(looks, decide)

        assert [one is None for one in answer] == [False, True, False]
        assert decide.looks == [looks[0], looks[2]]
        assert await store.schedules() == [row(looked_until=NOW + 2)]
        assert numbers(await store.runs(RunQuery())) == [2, 1]

    async def test_a_second_look_of_a_schedule_sees_what_the_first_one_did(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([tick_run(1, NOW)], NO_LIMIT)
        decide = Decide(Looked(runs=[tick_run(2, NOW + 1)], cancel=[id_of(1)]), Looked())

        await store.look([Look("nightly", NOW, NOW + 1), Look("nightly", NOW + 1, NOW + 2)], decide)

        assert decide.unfinished == [[Unfinished(id_of(1), "queued")], [Unfinished(id_of(2), "queued")]]

    async def test_a_look_of_no_schedule_does_nothing(self, store: Store) -> None:
        assert await store.look([], Decide()) == []

    async def test_hundreds_of_looks_are_made_in_one_call(self, store: Store) -> None:
        await store.put_schedules([row(f"s{number:03}") for number in range(300)])
        answers = [Looked(runs=[tick_run(number, NOW, schedule=f"s{number:03}")]) for number in range(300)]

        answer = await store.look([Look(f"s{number:03}", NOW, NOW + 1) for number in range(300)], Decide(*answers))

        assert answer == answers
        assert numbers(await claim(store)) == list(range(300))

    # Unfinished

    async def test_decide_is_given_the_unfinished_runs_of_the_schedule_oldest_first(self, store: Store) -> None:
        await store.put_schedules([row()])
        claimed = await claim_one(store, tick_run(5, NOW - 9))
        await store.finish([change(claimed, "retrying", due=NOW + 9)])
        await claim_one(store, tick_run(4, NOW - 8))
        await store.enqueue(
            [tick_run(3, NOW), tick_run(2, NOW + 9, state="scheduled"), tick_run(1, NOW, state="blocked")], NO_LIMIT
        )
        decide = Decide(Looked())

        await store.look([LOOK], decide)

        assert decide.unfinished == [
            [
                Unfinished(id_of(1), "blocked"), Unfinished(id_of(2), "scheduled"), Unfinished(id_of(3), "queued"),
                Unfinished(id_of(4), "running"), Unfinished(id_of(5), "retrying"),
            ]
        ]  # fmt: skip

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "expired"])
    async def test_a_run_that_has_ended_is_not_among_them(self, store: Store, state: str) -> None:
        await store.put_schedules([row()])
        await ended(store, tick_run(1, NOW, expires=NOW + 1), state, at=NOW + 2)
        decide = Decide(Looked())

        await store.look([LOOK], decide)

        assert decide.unfinished == [[]]

    async def test_runs_of_another_schedule_or_of_none_are_not_among_them(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([tick_run(1, NOW, schedule="hourly"), new(2, "fleet.nightly")], NO_LIMIT)
        decide = Decide(Looked())

        await store.look([LOOK], decide)

        assert decide.unfinished == [[]]

    async def test_a_run_that_was_retried_by_hand_is_among_them_again(self, store: Store) -> None:
        await store.put_schedules([row()])
        await ended(store, tick_run(1, NOW), "failed")
        await store.retry([id_of(1)], NOW)
        decide = Decide(Looked())

        await store.look([LOOK], decide)

        assert decide.unfinished == [[Unfinished(id_of(1), "queued")]]

    # Cancel within a look

    async def test_a_look_cancels_waiting_runs_at_once(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([tick_run(1, NOW, unique="k"), tick_run(2, NOW + 99, state="scheduled")], NO_LIMIT)

        looked = Looked(runs=[tick_run(3, NOW, unique="k")], cancel=[id_of(1), id_of(2)], cancel_reason="replaced")
        await store.look([LOOK], Decide(looked))

        run = await see(store, id_of(1))
        assert (run.state, run.reason, run.finished) == ("cancelled", "replaced", NOW + 60)
        assert await state_of(store, 1, 2, 3) == ["cancelled", "cancelled", "queued"]

    async def test_a_look_wishes_running_runs_cancelled(self, store: Store) -> None:
        await store.put_schedules([row()])
        claimed = await claim_one(store, tick_run(1, NOW))
        replacing = tick_run(2, NOW + 60, state="blocked")

        await store.look([LOOK], Decide(Looked(runs=[replacing], cancel=[id_of(1)], cancel_reason="replaced")))

        assert await store.cancels(KERNEL.id) == [(id_of(1), claimed.token, "replaced")]
        assert await state_of(store, 1, 2) == ["running", "blocked"]

    async def test_the_run_that_replaces_another_starts_when_the_old_one_has_ended(self, store: Store) -> None:
        await store.put_schedules([row()])
        claimed = await claim_one(store, tick_run(1, NOW))
        replacing = tick_run(2, NOW + 60, state="blocked")
        await store.look([LOOK], Decide(Looked(runs=[replacing], cancel=[id_of(1)])))

        await store.finish([change(claimed, "cancelled", at=NOW + 61)])

        assert await state_of(store, 2) == ["queued"]

    async def test_a_blocked_run_of_a_look_that_cancels_all_others_is_let_go(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([tick_run(1, NOW)], NO_LIMIT)

        await store.look([LOOK], Decide(Looked(runs=[tick_run(2, NOW, state="blocked")], cancel=[id_of(1)])))

        assert await state_of(store, 1, 2) == ["cancelled", "queued"]

    # One transaction

    async def test_a_run_of_a_look_whose_id_is_there_already_is_left_alone(self, store: Store) -> None:
        await store.put_schedules([row()])
        before = await ended(store, tick_run(1, NOW))

        await store.look([LOOK], Decide(Looked(runs=[tick_run(1, NOW)])))

        assert await see(store, id_of(1)) == before

    async def test_a_look_whose_decision_fails_leaves_everything_as_it_was(self, store: Store) -> None:
        await store.put_schedules([row("a"), row("b")])
        await store.enqueue([tick_run(1, NOW, schedule="a")], NO_LIMIT)
        first = Looked(runs=[tick_run(2, NOW, schedule="a")], ticks=[line(NOW, schedule="a")], cancel=[id_of(1)])

        with pytest.raises(IndexError):
            await store.look([Look("a", NOW, NOW + 1), Look("b", NOW, NOW + 1)], Decide(first))

        assert {found.looked_until for found in await store.schedules()} == {NOW}
        assert await state_of(store, 1, 2) == ["queued", "gone"]
        assert await store.ticks("a", NOW, NOW, 10) == []

    async def test_a_scheduled_run_of_a_look_is_told_as_next_due(self, store: Store) -> None:
        await store.put_schedules([row()])

        await store.look([LOOK], Decide(Looked(runs=[tick_run(1, NOW, due=NOW + 5, state="scheduled")])))

        assert (await store.claim(ask())).next_due == NOW + 5
