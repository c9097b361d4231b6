"""Unique keys beyond the unfinished run: for a period after the enqueue, and what a newcomer changes of a waiting one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Entry, Look, Looked, RunQuery, Store, Unfinished
from kernel.model.errors import StoreFullError
from kernel.model.job import Keep
from kernel.model.run import NewRun, RunExtra, urgency_of
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
    new,
    numbers,
    row,
    see,
    state_of,
    tick_run,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600.0


def _again(number: int, at: float, **options: object) -> NewRun:
    """A run of the key that is enqueued, and due, at this instant."""
    return new(number, due=at, enqueued=at, unique="car-42", **options)  # type: ignore[arg-type] # any of new's


class Unique:
    # Periods

    @pytest.mark.parametrize("state", ["completed", "failed", "expired"])
    async def test_within_its_period_a_run_that_has_ended_keeps_its_key(self, store: Store, state: str) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + HOUR, expires=NOW + 1), state, at=NOW + 2)

        answer = await store.enqueue([_again(2, NOW + HOUR - 1)], NO_LIMIT)

        assert answer == [id_of(1)]
        assert await state_of(store, 1, 2) == [state, "gone"]

    async def test_the_period_ends_at_its_instant(self, store: Store) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + HOUR))

        assert await store.enqueue([_again(2, NOW + HOUR)], NO_LIMIT) == [id_of(2)]

    async def test_an_unfinished_run_keeps_its_key_after_its_period(self, store: Store) -> None:
        claimed = await claim_one(store, _again(1, NOW, unique_until=NOW + 10))

        running = await store.enqueue([_again(2, NOW + 20)], NO_LIMIT)
        await store.finish([change(claimed, at=NOW + 30)])
        finished = await store.enqueue([_again(3, NOW + 31)], NO_LIMIT)

        assert (running, finished) == ([id_of(1)], [id_of(3)])

    async def test_a_waiting_run_that_is_cancelled_gives_its_key_back_at_once(self, store: Store) -> None:
        await store.enqueue([_again(1, NOW, unique_until=NOW + HOUR)], NO_LIMIT)

        await store.cancel([id_of(1)], "", NOW)

        assert await store.enqueue([_again(2, NOW + 1)], NO_LIMIT) == [id_of(2)]

    async def test_a_running_run_that_ends_cancelled_gives_its_key_back_at_once(self, store: Store) -> None:
        claimed = await claim_one(store, _again(1, NOW, unique_until=NOW + HOUR))

        await store.finish([change(claimed, "cancelled")])

        assert await store.enqueue([_again(2, NOW + 1)], NO_LIMIT) == [id_of(2)]

    async def test_a_newcomer_that_is_answered_with_another_run_does_not_lengthen_its_period(
        self, store: Store
    ) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + 10))
        await store.enqueue([_again(2, NOW + 5, unique_until=NOW + 15)], NO_LIMIT)

        assert await store.enqueue([_again(3, NOW + 11)], NO_LIMIT) == [id_of(3)]

    async def test_each_period_is_that_of_the_run_that_was_enqueued_last(self, store: Store) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + 10))
        await ended(store, _again(2, NOW + 20, unique_until=NOW + 30), at=NOW + 21)

        during = await store.enqueue([_again(3, NOW + 29)], NO_LIMIT)
        after = await store.enqueue([_again(4, NOW + 31)], NO_LIMIT)

        assert (during, after) == ([id_of(2)], [id_of(4)])

    async def test_a_run_after_the_period_that_has_none_of_its_own_frees_the_key_when_it_ends(
        self, store: Store
    ) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + 10))
        await ended(store, _again(2, NOW + 20), at=NOW + 21)

        assert await store.enqueue([_again(3, NOW + 21)], NO_LIMIT) == [id_of(3)]

    async def test_a_period_is_the_jobs_and_the_keys_own(self, store: Store) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + HOUR))

        answer = await store.enqueue([new(2, "fleet.wash", unique="car-42"), new(3, unique="car-43"), new(4)], NO_LIMIT)

        assert answer == [id_of(2), id_of(3), id_of(4)]

    async def test_a_period_goes_on_though_its_run_need_be_kept_no_longer(self, store: Store) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + HOUR))

        await store.prune({}, Keep(0.0, 0.0, 0), NOW, NOW + 10, 100)

        assert await store.enqueue([_again(2, NOW + HOUR - 1)], NO_LIMIT) == [id_of(1)]
        assert await store.enqueue([_again(3, NOW + HOUR + 1)], NO_LIMIT) == [id_of(3)]

    async def test_a_prune_after_the_period_frees_nothing_that_another_run_has_taken(self, store: Store) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + 10))
        await store.enqueue([_again(2, NOW + 20)], NO_LIMIT)

        await store.prune({}, Keep(0.0, 0.0, 0), NOW, NOW + 30, 100)

        assert await store.enqueue([_again(3, NOW + 31)], NO_LIMIT) == [id_of(2)]

    # Retry by hand

    async def test_a_retry_is_refused_naming_the_unfinished_run_that_has_the_key(self, store: Store) -> None:
        await ended(store, new(1, unique="car-42"), "failed")
        await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        [answer] = await store.retry([id_of(1)], NOW)

        assert (answer.before, answer.after, answer.held_by) == ("failed", "failed", id_of(2))

    async def test_a_retry_is_refused_naming_the_ended_run_that_has_the_key_for_its_period(self, store: Store) -> None:
        await ended(store, _again(1, NOW), "failed")
        await ended(store, _again(2, NOW, unique_until=NOW + HOUR))

        [refused] = await store.retry([id_of(1)], NOW + 10)
        [retried] = await store.retry([id_of(1)], NOW + HOUR)

        assert (refused.after, refused.held_by) == ("failed", id_of(2))
        assert (retried.after, retried.held_by) == ("queued", None)

    async def test_a_run_in_its_own_period_may_be_retried_and_keeps_its_period(self, store: Store) -> None:
        await ended(store, _again(1, NOW, unique_until=NOW + HOUR), "failed")

        [answer] = await store.retry([id_of(1)], NOW + 10)
        [claimed] = await claim(store, now=NOW + 10)
        await store.finish([change(claimed, at=NOW + 11)])

        assert (answer.after, answer.held_by) == ("queued", None)
        assert await store.enqueue([_again(2, NOW + 12)], NO_LIMIT) == [id_of(1)]
        assert await store.enqueue([_again(3, NOW + HOUR)], NO_LIMIT) == [id_of(3)]

    async def test_what_was_retried_is_held_by_nobody(self, store: Store) -> None:
        await ended(store, new(1, unique="car-42"), "failed")
        await ended(store, new(2), "failed")

        answer = await store.retry([id_of(1), id_of(2)], NOW)

        assert [one.held_by for one in answer] == [None, None]

    # Replace

    @pytest.mark.parametrize("conflict", ["replace", "debounce"])
    @pytest.mark.parametrize("state", ["queued", "scheduled", "blocked"])
    async def test_a_waiting_run_takes_over_what_the_newcomer_brings(
        self, store: Store, state: str, conflict: str
    ) -> None:
        await store.enqueue(
            [
                new(
                    1, state=state, unique="car-42", expires=NOW + 5, tags=("old",), schedule="nightly", tick=NOW,
                    folded=2, concurrency_key="a", rate_key="b",
                ),
            ],
            NO_LIMIT,
        )  # fmt: skip
        before = await see(store, id_of(1))
        newcomer = new(
            2, queue="washing", priority=2, payload='{"n":2}', due=NOW + 30, state="scheduled", enqueued=NOW + 3,
            unique="car-42", expires=NOW + 90, tags=("new", "er"), concurrency_key="c", on_conflict=conflict,
        )  # fmt: skip

        answer = await store.enqueue([newcomer], NO_LIMIT)

        assert answer == [id_of(1)]
        assert await store.runs(RunQuery()) == [
            before._replace(
                queue="washing", priority=2, payload_text='{"n":2}', due=NOW + 30, urgency=urgency_of(NOW + 30, 2),
                state="scheduled",
                extra=RunExtra(NOW + 90, "car-42", ("new", "er"), "nightly", NOW, 2, "c", None),
            )
        ]  # fmt: skip

    async def test_a_newcomer_that_keeps_changes_nothing(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42")], NO_LIMIT)
        before = await see(store, id_of(1))

        await store.enqueue([new(2, unique="car-42", payload="{}", priority=0, on_conflict="keep")], NO_LIMIT)

        assert await store.runs(RunQuery()) == [before]

    @pytest.mark.parametrize("conflict", ["replace", "debounce"])
    async def test_a_newcomer_leaves_a_running_run_as_it_is(self, store: Store, conflict: str) -> None:
        claimed = await claim_one(store, new(1, unique="car-42"))
        before = await see(store, id_of(1))

        answer = await store.enqueue([new(2, unique="car-42", payload="{}", on_conflict=conflict)], NO_LIMIT)

        assert (answer, await store.runs(RunQuery())) == ([id_of(1)], [before])
        assert (await store.finish([change(claimed)])).written == [True]

    @pytest.mark.parametrize("conflict", ["replace", "debounce"])
    async def test_a_run_that_has_ended_in_its_period_stays_as_it_is(self, store: Store, conflict: str) -> None:
        before = await ended(store, _again(1, NOW, unique_until=NOW + HOUR))

        answer = await store.enqueue([_again(2, NOW + 5, payload="{}", on_conflict=conflict)], NO_LIMIT)

        assert (answer, await store.runs(RunQuery())) == ([id_of(1)], [before])

    async def test_a_replaced_run_is_claimed_once_at_its_new_place(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42", due=NOW - 9), new(2, due=NOW - 5)], NO_LIMIT)

        await store.enqueue(
            [new(3, unique="car-42", queue="washing", due=NOW, payload='{"n":3}', on_conflict="replace")], NO_LIMIT
        )

        assert [(queue.name, queue.queued) for queue in await store.queues()] == [("default", 1), ("washing", 1)]
        got = await claim(store)
        assert [(run.id, run.queue, run.payload) for run in got] == [
            (id_of(2), "default", '{"car_id":"42"}'),
            (id_of(1), "washing", '{"n":3}'),
        ]

    async def test_a_replaced_run_has_left_its_old_queue_though_it_is_as_urgent_as_before(self, store: Store) -> None:
        await store.enqueue([new(2), new(1, unique="car-42", due=NOW - 5)], NO_LIMIT)

        await store.enqueue([new(3, unique="car-42", queue="washing", due=NOW - 5, on_conflict="replace")], NO_LIMIT)

        assert numbers((await store.claim(ask(queues={"washing": 0}))).runs) == [2]
        assert numbers(await claim(store)) == [1]

    async def test_a_queued_run_that_becomes_due_later_is_not_claimed_before(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42")], NO_LIMIT)

        await store.enqueue([later(2, NOW + 10, unique="car-42", on_conflict="debounce")], NO_LIMIT)
        early = await store.claim(ask(now=NOW + 9))

        assert (early.runs, early.next_due) == ([], NOW + 10)
        assert numbers(await claim(store, now=NOW + 10)) == [1]
        assert await claim(store, now=NOW + 99) == []

    async def test_each_debounce_puts_the_run_off_and_its_last_payload_runs(self, store: Store) -> None:
        for number in range(1, 6):
            at = NOW + number
            await store.enqueue(
                [
                    later(
                        number, at + 10, enqueued=at, unique="car-42", payload=f'{{"n":{number}}}',
                        on_conflict="debounce", unique_until=at + 10,
                    )
                ],
                NO_LIMIT,
            )  # fmt: skip

        early = await claim(store, now=NOW + 14.9)
        got = await claim(store, now=NOW + 15)

        assert (early, [(run.id, run.payload) for run in got]) == ([], [(id_of(1), '{"n":5}')])

    async def test_a_scheduled_run_that_is_replaced_to_be_due_now_is_claimed_now(self, store: Store) -> None:
        await store.enqueue([later(1, NOW + 50, unique="car-42")], NO_LIMIT)

        await store.enqueue([new(2, unique="car-42", on_conflict="replace")], NO_LIMIT)
        got = await store.claim(ask())

        assert (numbers(got.runs), got.next_due) == ([1], None)

    async def test_a_retrying_run_that_is_replaced_keeps_its_attempts_and_failures_and_loses_its_steps(
        self, store: Store
    ) -> None:
        claimed = await claim_one(store, new(1, unique="car-42"))
        await store.record([Entry(claimed.id, claimed.token, step=("load", "1"), log="a\n")])
        await store.finish([change(claimed, "retrying", due=NOW + 60, failures=1, error='{"type":"E"}')])

        await store.enqueue([new(2, unique="car-42", payload="{}", on_conflict="replace")], NO_LIMIT)

        assert await store.steps(id_of(1)) == {}
        assert (await store.log(id_of(1))).text == "a\n"
        [again] = await claim(store)
        assert (again.id, again.payload, again.attempt, again.failures) == (id_of(1), "{}", 2, 1)
        assert (await see(store, id_of(1))).error_text == '{"type":"E"}'

    async def test_a_newcomer_that_keeps_leaves_the_steps(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, unique="car-42"))
        await store.record([Entry(claimed.id, claimed.token, step=("load", "1"))])
        await store.finish([change(claimed, "retrying", due=NOW + 60)])

        await store.enqueue([new(2, unique="car-42")], NO_LIMIT)

        assert await store.steps(id_of(1)) == {"load": "1"}

    async def test_a_running_run_keeps_its_steps_whatever_comes(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, unique="car-42"))
        await store.record([Entry(claimed.id, claimed.token, step=("load", "1"))])

        await store.enqueue([new(2, unique="car-42", on_conflict="replace")], NO_LIMIT)

        assert await store.steps(id_of(1)) == {"load": "1"}

    async def test_a_run_of_the_same_batch_is_replaced_by_a_later_one(self, store: Store) -> None:
        answer = await store.enqueue(
            [
                new(1, unique="car-42", payload='{"n":1}'),
                new(2, unique="car-42", payload='{"n":2}', on_conflict="replace"),
                new(3, unique="car-42", payload='{"n":3}', queue="washing", on_conflict="replace"),
                new(4, unique="car-42", payload='{"n":4}'),
            ],
            NO_LIMIT,
        )

        assert answer == [id_of(1)] * 4
        assert [(run.id, run.queue, run.payload) for run in await claim(store)] == [(id_of(1), "washing", '{"n":3}')]

    async def test_a_batch_that_replaces_may_be_repeated(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42")], NO_LIMIT)
        batch = [new(2, unique="car-42", payload="{}", on_conflict="replace"), new(3)]

        answers = [await store.enqueue(batch, NO_LIMIT) for _ in range(2)]

        assert answers == [[id_of(1), id_of(3)]] * 2
        assert next((run.id, run.payload) for run in await claim(store)) == (id_of(1), "{}")

    async def test_a_replaced_run_expires_by_what_the_newcomer_says(self, store: Store) -> None:
        await store.enqueue(
            [new(1, unique="a", expires=NOW + 5), new(2, unique="b"), new(3, unique="c", expires=NOW + 5)], NO_LIMIT
        )

        await store.enqueue(
            [
                new(4, unique="a", on_conflict="replace"),
                new(5, unique="b", expires=NOW + 5, on_conflict="replace"),
                new(6, unique="c", expires=NOW + 50, on_conflict="replace"),
            ],
            NO_LIMIT,
        )

        assert numbers((await store.claim(ask({}, now=NOW + 6))).expired) == [2]
        assert sorted(numbers((await store.claim(ask({}, now=NOW + 51))).expired)) == [3]
        assert await state_of(store, 1, 2, 3) == ["queued", "expired", "expired"]

    async def test_a_replaced_run_takes_no_more_room_in_its_queue(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42")], {"default": 1})

        answer = await store.enqueue([new(2, unique="car-42", payload="{}", on_conflict="replace")], {"default": 1})

        assert answer == [id_of(1)]
        assert (await see(store, id_of(1))).payload_text == "{}"

    async def test_a_replaced_run_does_not_go_over_to_a_full_queue(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42"), new(2, queue="washing")], NO_LIMIT)
        before = await see(store, id_of(1))

        with pytest.raises(StoreFullError, match="washing"):
            await store.enqueue([new(3, unique="car-42", queue="washing", on_conflict="replace")], {"washing": 1})

        assert await see(store, id_of(1)) == before

    async def test_a_batch_that_does_not_fit_replaces_nothing(self, store: Store) -> None:
        await store.enqueue([new(1, unique="car-42")], NO_LIMIT)
        before = await see(store, id_of(1))

        with pytest.raises(StoreFullError):
            await store.enqueue([new(2, unique="car-42", payload="{}", on_conflict="replace"), new(3)], {"default": 1})

        assert await store.runs(RunQuery()) == [before]

    async def test_the_period_of_a_replaced_run_counts_from_the_newcomer(self, store: Store) -> None:
        await store.enqueue([_again(1, NOW, unique_until=NOW + 10)], NO_LIMIT)
        await store.enqueue([_again(2, NOW + 8, unique_until=NOW + 18, on_conflict="replace")], NO_LIMIT)
        [claimed] = await claim(store, now=NOW + 8)
        await store.finish([change(claimed, at=NOW + 9)])

        assert await store.enqueue([_again(3, NOW + 17)], NO_LIMIT) == [id_of(1)]
        assert await store.enqueue([_again(4, NOW + 18)], NO_LIMIT) == [id_of(4)]

    async def test_the_period_of_a_replaced_run_is_never_shortened(self, store: Store) -> None:
        await store.enqueue([_again(1, NOW, unique_until=NOW + 60)], NO_LIMIT)
        for number, terms in ((2, {"unique_until": NOW + 20}), (3, {})):
            await store.enqueue([_again(number, NOW + 10, on_conflict="replace", **terms)], NO_LIMIT)
        [claimed] = await claim(store, now=NOW + 10)
        await store.finish([change(claimed, at=NOW + 11)])

        assert await store.enqueue([_again(4, NOW + 59)], NO_LIMIT) == [id_of(1)]

    async def test_a_replaced_run_of_a_schedule_is_still_its_unfinished_run(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([tick_run(1, NOW, unique="k")], NO_LIMIT)
        seen: list[Unfinished] = []

        await store.enqueue([later(2, NOW + 9, "fleet.nightly", unique="k", on_conflict="replace")], NO_LIMIT)

        def decide(_look: Look, unfinished: Sequence[Unfinished]) -> Looked:
            seen.extend(unfinished)
            return Looked()

        await store.look([Look("nightly", NOW, NOW + 1)], decide)
        assert seen == [Unfinished(id_of(1), "scheduled")]

    async def test_a_tick_may_replace_a_waiting_run(self, store: Store) -> None:
        await store.put_schedules([row()])
        await store.enqueue([new(1, "fleet.nightly", unique="k")], NO_LIMIT)
        run = tick_run(2, NOW, unique="k", payload="{}", on_conflict="replace")

        await store.look([Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: Looked(runs=[run]))

        assert [(run.id, run.payload) for run in await claim(store)] == [(id_of(1), "{}")]
