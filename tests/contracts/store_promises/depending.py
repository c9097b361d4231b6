"""Runs that depend on others: blocked until these have ended, then let go, or cancelled with one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Edge, Ended, Look, Looked, RunQuery, Store
from kernel.model.errors import RequestError, StoreFullError
from kernel.model.job import Keep
from tests.contracts.store_promises.samples import (
    NO_LIMIT,
    NOW,
    after,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    new,
    numbers,
    row,
    see,
    state_of,
    tick_run,
)  # fmt: skip

if TYPE_CHECKING:
    from kernel.model.run import Claimed

FAILURES = ["failed", "cancelled"]
NONE = Keep(0.0, 0.0, 0)


async def _running(store: Store, *parents: int) -> list[Claimed]:
    """These parents, running; nothing else may be waiting."""
    await store.enqueue([new(number) for number in parents], NO_LIMIT)
    claimed = await claim(store)
    assert numbers(claimed) == list(parents)
    return claimed


def _told(number: int, *, queue: str = "default") -> Ended:
    return Ended(id_of(number), "fleet.sync", queue, "blocked", "cancelled")


class Depending:
    async def test_a_run_that_depends_on_an_unfinished_one_is_blocked(self, store: Store) -> None:
        await _running(store, 1)

        answer = await store.enqueue([after(2, 1)], NO_LIMIT)

        assert (answer, await state_of(store, 2)) == ([id_of(2)], ["blocked"])
        assert await claim(store, now=NOW + 1000) == []

    async def test_it_is_queued_when_its_parent_has_completed(self, store: Store) -> None:
        [parent] = await _running(store, 1)
        child = after(2, 1, due=NOW - 5, priority=3, tags=("a",))
        await store.enqueue([child], NO_LIMIT)

        finishes = await store.finish([change(parent)])

        assert (finishes.written, finishes.freed, list(finishes.cancelled)) == ([True], True, [])
        [claimed] = await claim(store)
        assert (claimed.id, claimed.due, claimed.urgency, claimed.extra) == (
            child.id, child.due, child.urgency, child.extra,
        )  # fmt: skip

    async def test_a_run_that_depends_on_several_goes_with_the_last_of_them(self, store: Store) -> None:
        one, two, three = await _running(store, 1, 2, 3)
        await store.enqueue([after(4, 1, 2, 3)], NO_LIMIT)

        freed = [(await store.finish([change(parent)])).freed for parent in (two, one)]
        between = await state_of(store, 4)
        last = await store.finish([change(three)])

        assert (freed, between, last.freed) == ([False, False], ["blocked"], True)
        assert await state_of(store, 4) == ["queued"]

    async def test_parents_may_end_in_one_call(self, store: Store) -> None:
        parents = await _running(store, *range(50))
        await store.enqueue([after(50, *range(50)), after(51, 0)], NO_LIMIT)

        finishes = await store.finish([change(parent) for parent in parents])

        assert finishes.freed
        assert numbers(await claim(store)) == [50, 51]

    async def test_one_parent_lets_all_go_that_wait_for_nothing_else(self, store: Store) -> None:
        one, _ = await _running(store, 1, 2)
        await store.enqueue([after(5, 1), after(3, 1), after(4, 1, 2)], NO_LIMIT)

        await store.finish([change(one)])

        assert await state_of(store, 3, 4, 5) == ["queued", "blocked", "queued"]

    async def test_a_waiting_parent_may_wait_for_others_itself(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1), after(3, 2)], NO_LIMIT)

        await store.finish([change(one)])
        [two] = await claim(store)
        between = await state_of(store, 3)
        await store.finish([change(two)])

        assert (numbers([two]), between, await state_of(store, 3)) == ([2], ["blocked"], ["queued"])

    async def test_a_parent_may_stand_earlier_in_the_same_list(self, store: Store) -> None:
        await store.enqueue([new(1), after(2, 1), after(3, 2, 1)], NO_LIMIT)

        order = []
        for _ in range(3):
            [claimed] = await claim(store)
            order.append(claimed)
            await store.finish([change(claimed)])

        assert numbers(order) == [1, 2, 3]

    @pytest.mark.parametrize("state", ["queued", "retrying", "scheduled"])
    async def test_a_parent_that_waits_again_lets_nothing_go(self, store: Store, state: str) -> None:
        [parent] = await _running(store, 1)
        await store.enqueue([after(2, 1)], NO_LIMIT)

        finishes = await store.finish([change(parent, state)])

        assert (finishes.freed, await state_of(store, 2)) == (False, ["blocked"])

    async def test_a_stale_change_lets_nothing_go_and_cancels_nothing(self, store: Store) -> None:
        [old] = await _running(store, 1)
        await store.finish([change(old, "queued")])
        await claim(store)
        await store.enqueue([after(2, 1), after(3, 1, on_parent_failure="run")], NO_LIMIT)

        finishes = await store.finish([change(old), change(old, "failed")])

        assert (finishes.written, finishes.freed, list(finishes.cancelled)) == ([False, False], False, [])
        assert await state_of(store, 2, 3) == ["blocked", "blocked"]

    async def test_a_finish_on_which_nothing_depends_frees_nothing(self, store: Store) -> None:
        one, _ = await _running(store, 1, 2)
        await store.enqueue([after(3, 2)], NO_LIMIT)

        finishes = await store.finish([change(one)])

        assert (finishes.freed, list(finishes.cancelled)) == (False, [])

    async def test_a_run_that_is_not_due_yet_is_scheduled_when_it_is_let_go_and_that_is_told_too(
        self, store: Store
    ) -> None:
        [parent] = await _running(store, 1)
        await store.enqueue([after(2, 1, due=NOW + 30)], NO_LIMIT)

        finishes = await store.finish([change(parent, at=NOW + 10)])

        # The kernel that hears it asks for the next due instant.
        assert (finishes.freed, await state_of(store, 2)) == (True, ["scheduled"])
        assert (await store.claim(ask(now=NOW + 10))).next_due == NOW + 30
        assert numbers(await claim(store, now=NOW + 30)) == [2]

    async def test_a_blocked_run_takes_room_in_its_queue(self, store: Store) -> None:
        await store.enqueue([new(1), after(2, 1)], {"default": 2})

        with pytest.raises(StoreFullError):
            await store.enqueue([after(3, 1)], {"default": 2})

    # What has ended before

    async def test_a_run_that_depends_on_what_has_completed_goes_at_once(self, store: Store) -> None:
        await ended(store, new(1))

        await store.enqueue([after(2, 1), after(3, 1, due=NOW + 9)], NO_LIMIT)

        assert await state_of(store, 2, 3) == ["queued", "scheduled"]
        assert (await store.claim(ask())).next_due == NOW + 9

    async def test_of_several_parents_those_that_have_ended_hold_nothing_up(self, store: Store) -> None:
        await ended(store, new(1))
        [two] = await _running(store, 2)
        await store.enqueue([after(3, 1, 2)], NO_LIMIT)

        before = await state_of(store, 3)
        await store.finish([change(two)])

        assert (before, await state_of(store, 3)) == (["blocked"], ["queued"])

    @pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
    async def test_a_run_that_depends_on_what_has_failed_is_cancelled_at_once(self, store: Store, state: str) -> None:
        await ended(store, new(1, expires=NOW + 1), state, at=NOW + 2)
        [two] = await _running(store, 2)

        answer = await store.enqueue([after(3, 1, enqueued=NOW + 5), after(4, 2, 1), after(5, 3)], NO_LIMIT)

        assert answer == [id_of(3), id_of(4), id_of(5)]
        assert await state_of(store, 3, 4, 5) == ["cancelled", "cancelled", "cancelled"]
        run = await see(store, id_of(3))
        assert (run.finished, id_of(1) in (run.reason or "")) == (NOW + 5, True)
        await store.finish([change(two)])
        assert await claim(store) == []

    @pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
    async def test_one_that_runs_all_the_same_goes_at_once(self, store: Store, state: str) -> None:
        await ended(store, new(1, expires=NOW + 1), state, at=NOW + 2)

        await store.enqueue([after(2, 1, on_parent_failure="run")], NO_LIMIT)

        assert await state_of(store, 2) == ["queued"]

    async def test_one_that_is_cancelled_at_once_gives_its_unique_key_back(self, store: Store) -> None:
        await ended(store, new(1), "failed")

        await store.enqueue([after(2, 1, unique="k", unique_until=NOW + 99)], NO_LIMIT)

        assert await store.enqueue([new(3, unique="k")], NO_LIMIT) == [id_of(3)]

    # Failure

    @pytest.mark.parametrize("state", FAILURES)
    async def test_a_run_is_cancelled_when_its_parent_fails_naming_it(self, store: Store, state: str) -> None:
        [parent] = await _running(store, 1)
        await store.enqueue([after(2, 1, queue="washing")], NO_LIMIT)

        finishes = await store.finish([change(parent, state, at=NOW + 7)])

        assert (finishes.freed, list(finishes.cancelled)) == (False, [_told(2, queue="washing")])
        run = await see(store, id_of(2))
        assert (run.state, run.finished, run.attempt) == ("cancelled", NOW + 7, 0)
        assert id_of(1) in (run.reason or "")
        assert await claim(store) == []

    @pytest.mark.parametrize("state", FAILURES)
    async def test_a_run_that_runs_all_the_same_is_let_go_when_its_parent_fails(self, store: Store, state: str) -> None:
        [parent] = await _running(store, 1)
        await store.enqueue([after(2, 1, on_parent_failure="run")], NO_LIMIT)

        finishes = await store.finish([change(parent, state)])

        assert (finishes.freed, list(finishes.cancelled)) == (True, [])
        assert numbers(await claim(store)) == [2]

    async def test_a_run_is_cancelled_though_others_that_it_depends_on_still_run(self, store: Store) -> None:
        one, two, three = await _running(store, 1, 2, 3)
        await store.enqueue([after(4, 1, 2, 3)], NO_LIMIT)
        await store.finish([change(one)])

        finishes = await store.finish([change(two, "failed")])
        late = [await store.finish([change(three, "failed")])]

        assert list(finishes.cancelled) == [_told(4)]
        assert [(one.freed, list(one.cancelled)) for one in late] == [(False, [])]
        assert id_of(2) in ((await see(store, id_of(4))).reason or "")

    async def test_of_parents_that_end_in_one_call_one_that_fails_is_enough(self, store: Store) -> None:
        one, two, three = await _running(store, 1, 2, 3)
        await store.enqueue([after(4, 1, 2, 3)], NO_LIMIT)

        finishes = await store.finish([change(one), change(two, "failed"), change(three)])

        assert (finishes.freed, list(finishes.cancelled)) == (False, [_told(4)])

    async def test_what_depends_on_a_cancelled_run_is_cancelled_too_naming_that(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1), after(3, 2), after(4, 3), after(5, 3, on_parent_failure="run")], NO_LIMIT)

        finishes = await store.finish([change(one, "failed")])

        assert (finishes.freed, list(finishes.cancelled)) == (True, [_told(2), _told(3), _told(4)])
        assert await state_of(store, 5) == ["queued"]
        assert id_of(3) in ((await see(store, id_of(4))).reason or "")

    async def test_children_are_cancelled_in_the_order_of_their_ids_before_their_own_children(
        self, store: Store
    ) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(5, 1), after(3, 5), after(4, 1), after(2, 4)], NO_LIMIT)

        finishes = await store.finish([change(one, "failed")])

        assert list(finishes.cancelled) == [_told(4), _told(5), _told(2), _told(3)]

    async def test_a_run_that_depends_on_another_in_two_ways_is_cancelled_once(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1), after(3, 1), after(4, 2, 3)], NO_LIMIT)

        finishes = await store.finish([change(one, "failed")])

        assert list(finishes.cancelled) == [_told(2), _told(3), _told(4)]

    async def test_a_long_chain_is_cancelled_to_its_end(self, store: Store) -> None:
        await store.enqueue([new(0), *(after(number, number - 1) for number in range(1, 1500))], NO_LIMIT)
        [first] = await claim(store)

        finishes = await store.finish([change(first, "failed")])

        assert list(finishes.cancelled) == [_told(number) for number in range(1, 1500)]
        assert await store.count(RunQuery()) == {"failed": 1, "cancelled": 1499}

    async def test_many_parents_and_many_children(self, store: Store) -> None:
        await store.enqueue([new(number) for number in range(1000)], NO_LIMIT)
        parents = await claim(store)
        await store.enqueue([after(1000 + number, *range(1000)) for number in range(3)], NO_LIMIT)
        await store.enqueue([after(2000 + number, 0) for number in range(500)], NO_LIMIT)

        freed = [
            (await store.finish([change(run) for run in parents[at : at + 250]])).freed for at in range(0, 999, 250)
        ]

        assert freed == [True, False, False, True]
        assert len(await claim(store)) == 503

    async def test_a_cancelled_child_gives_its_unique_key_back_and_lets_its_schedule_go_on(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue(
            [
                tick_run(2, NOW, state="blocked", depends_on=(id_of(1),), unique="k", unique_until=NOW + 99),
                tick_run(3, NOW + 1, state="blocked"),
            ],
            NO_LIMIT,
        )

        await store.finish([change(one, "failed", at=NOW + 5)])

        assert await store.enqueue([new(4, "fleet.nightly", unique="k")], NO_LIMIT) == [id_of(4)]
        assert await state_of(store, 2, 3) == ["cancelled", "queued"]

    async def test_the_end_of_another_run_of_its_schedule_does_not_let_a_run_go_that_waits_for_others(
        self, store: Store
    ) -> None:
        await store.enqueue([new(1), tick_run(2, NOW)], NO_LIMIT)
        parent, tick = await claim(store)
        await store.enqueue([tick_run(3, NOW, state="blocked", depends_on=(id_of(1),))], NO_LIMIT)

        await store.finish([change(tick)])
        between = await state_of(store, 3)
        await store.finish([change(parent)])

        assert (between, await state_of(store, 3)) == (["blocked"], ["queued"])

    # Other ends

    async def test_a_waiting_parent_that_is_cancelled_by_hand_takes_its_children_along_behind_it(
        self, store: Store
    ) -> None:
        await store.enqueue([new(1), new(2), after(3, 1), after(4, 3), after(5, 2, 1)], NO_LIMIT)

        answer = await store.cancel([id_of(2), id_of(9), id_of(1)], "enough", NOW + 5)

        assert [(one.id, one.before) for one in answer[:2]] == [(id_of(2), "queued"), (id_of(1), "queued")]
        assert sorted(answer[2:]) == [_told(3), _told(4), _told(5)]
        run = await see(store, id_of(3))
        assert (run.state, run.finished, id_of(1) in (run.reason or "")) == ("cancelled", NOW + 5, True)

    async def test_a_waiting_parent_that_is_cancelled_by_hand_lets_those_go_that_run_all_the_same(
        self, store: Store
    ) -> None:
        await store.enqueue([new(1), after(2, 1, on_parent_failure="run")], NO_LIMIT)

        answer = await store.cancel([id_of(1)], "enough", NOW)

        assert [one.id for one in answer] == [id_of(1)]
        assert numbers(await claim(store)) == [2]

    async def test_a_running_parent_that_is_wanted_cancelled_takes_nobody_along_yet(self, store: Store) -> None:
        await _running(store, 1)
        await store.enqueue([after(2, 1)], NO_LIMIT)

        answer = await store.cancel([id_of(1)], "enough", NOW)

        assert ([one.id for one in answer], await state_of(store, 2)) == ([id_of(1)], ["blocked"])

    async def test_parent_and_child_may_be_cancelled_in_one_call(self, store: Store) -> None:
        await store.enqueue([new(1), after(2, 1), after(3, 2)], NO_LIMIT)

        answer = await store.cancel([id_of(1), id_of(2)], "enough", NOW)

        assert [(one.id, one.before, one.after) for one in answer] == [
            (id_of(1), "queued", "cancelled"), (id_of(2), "blocked", "cancelled"), (id_of(3), "blocked", "cancelled"),
        ]  # fmt: skip
        assert (await see(store, id_of(2))).reason == "enough"

    async def test_a_parent_that_expires_takes_its_children_along(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW + 5), after(2, 1), after(3, 2)], NO_LIMIT)

        got = await store.claim(ask(now=NOW + 6))

        assert (numbers(got.expired), list(got.cancelled), got.runs) == ([1], [_told(2), _told(3)], [])
        run = await see(store, id_of(2))
        assert (run.state, run.finished, id_of(1) in (run.reason or "")) == ("cancelled", NOW + 6, True)

    async def test_what_the_expiry_of_its_parent_lets_go_may_be_claimed_by_the_same_claim(self, store: Store) -> None:
        await store.enqueue([new(1, expires=NOW + 5), after(2, 1, on_parent_failure="run")], NO_LIMIT)

        got = await store.claim(ask(now=NOW + 6))

        assert (numbers(got.expired), list(got.cancelled), numbers(got.runs)) == ([1], [], [2])

    async def test_a_claim_that_expires_nothing_cancels_nothing(self, store: Store) -> None:
        await store.enqueue([new(1), after(2, 1)], NO_LIMIT)

        assert list((await store.claim(ask())).cancelled) == []

    async def test_a_look_that_cancels_a_waiting_parent_takes_its_children_along(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([tick_run(1, NOW), after(2, 1)], NO_LIMIT)

        await store.look(
            [Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: Looked((), (), [id_of(1)], "replaced")
        )

        assert await state_of(store, 1, 2) == ["cancelled", "cancelled"]

    async def test_a_blocked_child_may_expire_and_takes_its_own_children_along(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1, expires=NOW + 5), after(3, 2)], NO_LIMIT)

        got = await store.claim(ask(now=NOW + 6))
        finishes = await store.finish([change(one)])

        assert (numbers(got.expired), list(got.cancelled)) == ([2], [_told(3)])
        assert (finishes.freed, await state_of(store, 2, 3)) == (False, ["expired", "cancelled"])

    async def test_a_blocked_child_may_be_cancelled_and_its_parents_change_nothing_after(self, store: Store) -> None:
        one, two = await _running(store, 1, 2)
        await store.enqueue([after(3, 1, 2), after(4, 3)], NO_LIMIT)

        answer = await store.cancel([id_of(3)], "enough", NOW)
        ends = [await store.finish([change(one)]), await store.finish([change(two, "failed")])]

        assert [(one.id, one.after) for one in answer] == [(id_of(3), "cancelled"), (id_of(4), "cancelled")]
        assert [(one.freed, list(one.cancelled)) for one in ends] == [(False, []), (False, [])]
        assert (await see(store, id_of(3))).reason == "enough"

    # Retry by hand

    async def test_a_cancelled_child_that_is_retried_is_queued_and_waits_for_nobody(self, store: Store) -> None:
        one, two = await _running(store, 1, 2)
        await store.enqueue([after(3, 1, 2)], NO_LIMIT)
        await store.finish([change(one, "failed")])

        await store.retry([id_of(3)], NOW)
        retried = await state_of(store, 3)
        finishes = await store.finish([change(two, "failed")])

        assert (retried, finishes.freed, list(finishes.cancelled)) == (["queued"], False, [])
        assert numbers(await claim(store)) == [3]

    async def test_a_child_that_was_cancelled_by_hand_and_retried_waits_for_nobody(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1)], NO_LIMIT)
        await store.cancel([id_of(2)], "", NOW)

        await store.retry([id_of(2)], NOW)
        finishes = await store.finish([change(one, "failed")])

        assert (list(finishes.cancelled), await state_of(store, 2)) == ([], ["queued"])

    async def test_a_parent_that_is_retried_revives_nobody(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1)], NO_LIMIT)
        await store.finish([change(one, "failed")])

        await store.retry([id_of(1)], NOW)
        [again] = await claim(store)
        finishes = await store.finish([change(again)])

        assert (finishes.freed, await state_of(store, 1, 2)) == (False, ["completed", "cancelled"])

    async def test_a_new_run_waits_for_a_parent_that_is_retried(self, store: Store) -> None:
        await ended(store, new(1), "failed")
        await store.retry([id_of(1)], NOW)

        await store.enqueue([after(2, 1)], NO_LIMIT)

        assert await state_of(store, 2) == ["blocked"]

    # Unknown parents

    async def test_an_unknown_parent_is_an_error_that_names_it_and_nothing_of_the_call_is_inserted(
        self, store: Store
    ) -> None:
        await store.enqueue([new(1), new(5, unique="r")], NO_LIMIT)
        before = await store.runs(RunQuery())
        batch = [new(2, unique="k"), new(3, unique="r", payload="{}", on_conflict="replace"), after(4, 1, 99)]

        with pytest.raises(RequestError, match=id_of(99)):
            await store.enqueue(batch, NO_LIMIT)

        assert await store.runs(RunQuery()) == before
        assert await store.edges([id_of(4), id_of(1)]) == []
        assert await store.enqueue([new(6, unique="k")], NO_LIMIT) == [id_of(6)]

    @pytest.mark.parametrize("parent", [2, 3])
    async def test_a_parent_must_stand_before_its_child(self, store: Store, parent: int) -> None:
        with pytest.raises(RequestError, match=id_of(parent)):
            await store.enqueue([new(1), after(2, parent), new(3)], NO_LIMIT)

        assert await store.runs(RunQuery()) == []

    async def test_a_parent_that_was_pruned_is_unknown(self, store: Store) -> None:
        await ended(store, new(1))
        await store.prune({}, NONE, NOW, NOW + 9, 100)

        with pytest.raises(RequestError, match=id_of(1)):
            await store.enqueue([after(2, 1)], NO_LIMIT)

    async def test_a_batch_that_is_repeated_is_no_error_though_its_parent_is_gone(self, store: Store) -> None:
        await ended(store, new(1))
        await store.enqueue([after(2, 1)], NO_LIMIT)
        await store.prune({}, NONE, NOW, NOW + 9, 100)

        assert await store.enqueue([after(2, 1)], NO_LIMIT) == [id_of(2)]

    # Unique

    async def test_a_newcomer_that_is_answered_with_another_run_adds_nothing_to_wait_for(self, store: Store) -> None:
        await store.enqueue([new(1, unique="k"), new(2)], NO_LIMIT)

        answer = await store.enqueue([after(3, 2, unique="k")], NO_LIMIT)

        assert (answer, await store.edges([id_of(1), id_of(2), id_of(3)])) == ([id_of(1)], [])
        assert await state_of(store, 1) == ["queued"]

    async def test_a_replaced_run_depends_on_what_the_newcomer_depends_on(self, store: Store) -> None:
        one, two = await _running(store, 1, 2)
        await store.enqueue([after(3, 1, unique="k")], NO_LIMIT)

        await store.enqueue([after(4, 2, unique="k", on_conflict="replace", on_parent_failure="run")], NO_LIMIT)
        first = await store.finish([change(one, "failed")])
        second = await store.finish([change(two, "failed")])

        assert await store.edges([id_of(3)]) == [Edge(id_of(3), id_of(2), False, "run")]
        assert (first.freed, list(first.cancelled), second.freed) == (False, [], True)
        assert numbers(await claim(store)) == [3]

    async def test_a_replaced_run_waits_no_more_when_the_newcomer_depends_on_nothing(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1, unique="k")], NO_LIMIT)

        await store.enqueue([new(3, unique="k", on_conflict="replace")], NO_LIMIT)
        finishes = await store.finish([change(one, "failed")])

        assert (list(finishes.cancelled), numbers(await claim(store))) == ([], [2])

    async def test_a_run_that_is_replaced_in_its_own_batch_waits_only_for_what_the_last_one_waits_for(
        self, store: Store
    ) -> None:
        await _running(store, 1, 2)

        await store.enqueue(
            [
                after(3, 1, unique="k"),
                new(4, unique="k", on_conflict="replace"),
                new(5, unique="l"),
                after(6, 2, unique="l", on_conflict="replace"),
            ],
            NO_LIMIT,
        )

        assert await state_of(store, 3, 5) == ["queued", "blocked"]
        assert await store.edges([id_of(3), id_of(5)]) == [Edge(id_of(5), id_of(2), True, "cancel")]

    async def test_a_replaced_run_is_cancelled_at_once_when_the_newcomer_depends_on_what_has_failed(
        self, store: Store
    ) -> None:
        await ended(store, new(1), "failed")
        await store.enqueue([new(2, unique="k")], NO_LIMIT)

        newcomer = after(3, 1, unique="k", on_conflict="replace", enqueued=NOW + 5)
        answer = await store.enqueue([newcomer], NO_LIMIT)

        run = await see(store, id_of(2))
        assert (answer, run.state, run.finished) == ([id_of(2)], "cancelled", NOW + 5)
        assert await claim(store) == []

    async def test_a_replaced_run_may_not_wait_for_what_waits_for_it(self, store: Store) -> None:
        await store.enqueue([new(1, unique="k"), after(2, 1), after(3, 2)], NO_LIMIT)
        before = await see(store, id_of(1))

        with pytest.raises(RequestError, match=id_of(3)):
            await store.enqueue([after(4, 3, unique="k", on_conflict="replace")], NO_LIMIT)

        assert await see(store, id_of(1)) == before

    # Edges

    async def test_a_run_that_depends_on_nothing_has_no_edges(self, store: Store) -> None:
        await store.enqueue([new(1)], NO_LIMIT)

        assert await store.edges([id_of(1), id_of(9)]) == []
        assert await store.edges([]) == []

    async def test_edges_are_told_up_and_down_by_child_then_parent(self, store: Store) -> None:
        await store.enqueue(
            [new(1), new(2), after(4, 2, 1), after(3, 1, on_parent_failure="run"), after(5, 4)], NO_LIMIT
        )
        up = [Edge(id_of(4), id_of(1), True, "cancel"), Edge(id_of(4), id_of(2), True, "cancel")]

        assert await store.edges([id_of(4)]) == [*up, Edge(id_of(5), id_of(4), True, "cancel")]
        assert await store.edges([id_of(2)]) == [up[1]]
        assert await store.edges([id_of(5), id_of(1), id_of(4)]) == [
            Edge(id_of(3), id_of(1), True, "run"), *up, Edge(id_of(5), id_of(4), True, "cancel"),
        ]  # fmt: skip

    async def test_a_parent_that_is_named_twice_is_one_edge(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1, 1)], NO_LIMIT)

        edges = await store.edges([id_of(2)])
        await store.finish([change(one)])

        assert (len(edges), await state_of(store, 2)) == (1, ["queued"])

    @pytest.mark.parametrize("state", ["completed", "failed"])
    async def test_an_edge_is_kept_closed_when_its_parent_has_ended(self, store: Store, state: str) -> None:
        one, _ = await _running(store, 1, 2)
        await store.enqueue([after(3, 1, 2, on_parent_failure="run")], NO_LIMIT)

        await store.finish([change(one, state)])

        assert await store.edges([id_of(3)]) == [
            Edge(id_of(3), id_of(1), False, "run"), Edge(id_of(3), id_of(2), True, "run"),
        ]  # fmt: skip

    async def test_an_edge_to_what_has_ended_before_is_closed_from_the_start(self, store: Store) -> None:
        await ended(store, new(1))

        await store.enqueue([after(2, 1)], NO_LIMIT)

        assert await store.edges([id_of(1)]) == [Edge(id_of(2), id_of(1), False, "cancel")]

    # Prune

    async def test_edges_go_with_their_child(self, store: Store) -> None:
        [one] = await _running(store, 1)
        await store.enqueue([after(2, 1)], NO_LIMIT)
        await store.finish([change(one, "failed")])

        gone = await store.prune({}, NONE, NOW, NOW + 9, 100)

        assert (gone, await store.edges([id_of(1), id_of(2)])) == (2, [])

    async def test_a_closed_edge_stays_with_its_child_when_the_parent_is_pruned(self, store: Store) -> None:
        await ended(store, new(1))
        await store.enqueue([new(2), after(3, 1, 2)], NO_LIMIT)

        await store.prune({}, NONE, NOW, NOW + 9, 100)

        assert await state_of(store, 1, 2, 3) == ["gone", "queued", "blocked"]
        assert await store.edges([id_of(3)]) == [
            Edge(id_of(3), id_of(1), False, "cancel"), Edge(id_of(3), id_of(2), True, "cancel"),
        ]  # fmt: skip

    async def test_a_pruned_id_that_is_enqueued_again_has_no_edges(self, store: Store) -> None:
        await ended(store, new(1))
        await ended(store, after(2, 1))
        await store.prune({}, NONE, NOW, NOW + 9, 100)

        await claim_one(store, new(2))

        assert await store.edges([id_of(2)]) == []
