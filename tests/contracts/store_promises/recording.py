"""What a running attempt writes down: recorded steps, progress and log lines, fenced by the token of its claim."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import LOG_BYTES, Entry, RunLog, Store
from kernel.model.job import Keep
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
    see,
)  # fmt: skip

if TYPE_CHECKING:
    from kernel.model.run import Claimed

NOTHING = RunLog("", is_cut=False)
WEEK = 7 * 86_400.0


def _step(run: Claimed, name: str, result: str = "1") -> Entry:
    return Entry(run.id, run.token, step=(name, result))


def _progress(run: Claimed, fraction: float, text: str = "") -> Entry:
    return Entry(run.id, run.token, progress=(fraction, text))


def _log(run: Claimed, text: str) -> Entry:
    return Entry(run.id, run.token, log=text)


class Recording:
    async def test_a_run_that_has_written_down_nothing_has_no_steps_no_progress_and_an_empty_log(
        self, store: Store
    ) -> None:
        await claim_one(store, new(1))

        assert await store.steps(id_of(1)) == {}
        assert await store.log(id_of(1)) == NOTHING
        run = await see(store, id_of(1))
        assert (run.progress, run.progress_text) == (None, None)

    async def test_an_unknown_run_has_no_steps_and_no_log(self, store: Store) -> None:
        assert (await store.steps(id_of(9)), await store.log(id_of(9))) == ({}, NOTHING)

    async def test_record_of_nothing_does_nothing(self, store: Store) -> None:
        assert await store.record([]) == []

    async def test_one_entry_may_tell_a_step_progress_and_log_together(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        answer = await store.record([Entry(claimed.id, claimed.token, ("load", "[1]"), (0.5, "half"), "a\n")])

        assert answer == [True]
        assert await store.steps(id_of(1)) == {"load": "[1]"}
        assert await store.log(id_of(1)) == RunLog("a\n", is_cut=False)
        run = await see(store, id_of(1))
        assert (run.progress, run.progress_text) == (0.5, "half")

    # Steps

    async def test_the_steps_of_a_run_come_back_with_their_results(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        result = '{"ä":"漢字 🚗 \\u0000 \\ud800","n":[1,null]}'

        await store.record([_step(claimed, "load"), _step(claimed, "schritt 'ß' \"x\"", result)])
        await store.record([_step(claimed, "")])

        assert await store.steps(id_of(1)) == {"load": "1", "schritt 'ß' \"x\"": result, "": "1"}

    async def test_a_step_that_is_recorded_already_stays_as_it_is(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([_step(claimed, "load", "1")])

        answer = await store.record([_step(claimed, "load", "2")])

        assert answer == [True]
        assert await store.steps(id_of(1)) == {"load": "1"}

    async def test_of_one_step_that_comes_twice_in_one_call_the_first_is_kept(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.record([_step(claimed, "load", "1"), _step(claimed, "load", "2")])

        assert await store.steps(id_of(1)) == {"load": "1"}

    async def test_steps_are_each_runs_own(self, store: Store) -> None:
        await store.enqueue([new(1), new(2)], NO_LIMIT)
        one, two = await claim(store)

        await store.record([_step(one, "load", "1"), _step(two, "load", "2")])

        assert (await store.steps(one.id), await store.steps(two.id)) == ({"load": "1"}, {"load": "2"})

    @pytest.mark.parametrize("state", ["queued", "retrying", "scheduled"])
    async def test_the_next_attempt_finds_the_steps_of_the_one_before_and_adds_its_own(
        self, store: Store, state: str
    ) -> None:
        first = await claim_one(store, new(1))
        await store.record([_step(first, "load")])
        await store.finish([change(first, state)])
        [second] = await claim(store)

        assert await store.steps(id_of(1)) == {"load": "1"}
        await store.record([_step(second, "load", "2"), _step(second, "wash", "3")])

        assert await store.steps(id_of(1)) == {"load": "1", "wash": "3"}

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
    async def test_steps_progress_and_log_stay_with_a_run_that_has_ended(self, store: Store, state: str) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([Entry(claimed.id, claimed.token, ("load", "1"), (0.5, "half"), "a\n")])

        await store.finish([change(claimed, state)])

        assert (await store.steps(id_of(1)), await store.log(id_of(1))) == ({"load": "1"}, RunLog("a\n", is_cut=False))
        run = await see(store, id_of(1))
        assert (run.progress, run.progress_text) == (0.5, "half")

    async def test_a_run_that_is_retried_by_hand_keeps_its_steps(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([_step(claimed, "load")])
        await store.finish([change(claimed, "failed")])

        await store.retry([id_of(1)], NOW)

        assert await store.steps(id_of(1)) == {"load": "1"}

    # Progress

    async def test_progress_is_replaced(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([_progress(claimed, 0.25, "a quarter")])

        await store.record([_progress(claimed, 0.75, "more"), _progress(claimed, 0.5, "")])

        run = await see(store, id_of(1))
        assert (run.progress, run.progress_text, run.state) == (0.5, "", "running")

    async def test_what_is_written_down_leaves_the_rest_of_the_run_as_it_was(self, store: Store) -> None:
        claimed = await claim_one(store, new(1, unique="k", tags=("a",)))
        await store.cancel([id_of(1)], "enough", NOW)
        await store.stick([id_of(1)])
        before = await see(store, id_of(1))

        await store.record([_progress(claimed, 0.5, "half"), _step(claimed, "load"), _log(claimed, "a\n")])

        assert await see(store, id_of(1)) == before._replace(progress=0.5, progress_text="half")
        assert await store.cancels(KERNEL.id) == [(id_of(1), claimed.token, "enough")]

    # Log

    async def test_log_lines_are_added_in_order(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.record([_log(claimed, "a\nb\n"), _log(claimed, "c\n")])
        await store.record([_log(claimed, "d\u2028ä\x85 🚗\n")])

        assert await store.log(id_of(1)) == RunLog("a\nb\nc\nd\u2028ä\x85 🚗\n", is_cut=False)

    async def test_the_log_goes_on_in_the_next_attempt(self, store: Store) -> None:
        first = await claim_one(store, new(1))
        await store.record([_log(first, "a\n")])
        await store.finish([change(first, "queued")])
        [second] = await claim(store)

        await store.record([_log(second, "b\n")])

        assert await store.log(id_of(1)) == RunLog("a\nb\n", is_cut=False)

    async def test_a_log_of_just_the_most_that_is_kept_is_whole(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        text = ("x" * 63 + "\n") * (LOG_BYTES // 64)

        await store.record([_log(claimed, text)])

        assert await store.log(id_of(1)) == RunLog(text, is_cut=False)

    @pytest.mark.parametrize("letter", ["x", "ä", "🚗"])
    async def test_of_a_longer_log_the_newest_whole_lines_are_kept_that_fit(self, store: Store, letter: str) -> None:
        claimed = await claim_one(store, new(1))
        lines = [f"{number} {letter * (number % 90)}\n" for number in range(3000)]

        for start in range(0, 3000, 500):
            await store.record([_log(claimed, "".join(lines[at : at + 50])) for at in range(start, start + 500, 50)])

        fitting, size = len(lines), 0
        while size + len(lines[fitting - 1].encode()) <= LOG_BYTES:
            fitting -= 1
            size += len(lines[fitting].encode())
        assert await store.log(id_of(1)) == RunLog("".join(lines[fitting:]), is_cut=True)

    async def test_a_line_that_is_longer_than_all_that_is_kept_leaves_an_empty_log(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        await store.record([_log(claimed, "a\n" + "x" * LOG_BYTES + "\n")])
        cut = await store.log(id_of(1))
        await store.record([_log(claimed, "b\n")])

        assert cut == RunLog("", is_cut=True)
        assert await store.log(id_of(1)) == RunLog("b\n", is_cut=True)

    # The fence

    async def test_what_an_older_claim_tells_is_not_written(self, store: Store) -> None:
        old = await claim_one(store, new(1))
        await store.finish([change(old, "queued")])
        [newer] = await claim(store)
        before = await see(store, id_of(1))

        answer = await store.record([Entry(old.id, old.token, ("load", "1"), (0.5, "half"), "a\n")])

        assert answer == [False]
        assert (await store.steps(id_of(1)), await store.log(id_of(1))) == ({}, NOTHING)
        assert await see(store, id_of(1)) == before
        assert await store.record([_step(newer, "load")]) == [True]

    @pytest.mark.parametrize("state", ["completed", "failed", "queued", "retrying"])
    async def test_what_is_told_of_a_run_that_runs_no_more_is_not_written(self, store: Store, state: str) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, state)])

        answer = await store.record([_step(claimed, "load"), _progress(claimed, 0.5), _log(claimed, "a\n")])

        assert answer == [False, False, False]
        assert (await store.steps(id_of(1)), await store.log(id_of(1))) == ({}, NOTHING)

    async def test_what_is_told_of_a_released_run_is_not_written(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.release(KERNEL.id)

        assert await store.record([_step(claimed, "load")]) == [False]
        assert await store.steps(id_of(1)) == {}

    async def test_an_entry_of_an_unknown_run_is_not_written(self, store: Store) -> None:
        assert await store.record([Entry(id_of(9), 1, step=("load", "1"))]) == [False]

    async def test_stale_entries_are_told_apart_in_a_batch_and_the_others_are_written(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(3)], NO_LIMIT)
        one, two, three = await claim(store)
        await store.finish([change(two)])

        answer = await store.record([_step(one, "load"), _step(two, "load"), _progress(three, 0.5)])

        assert answer == [True, False, True]
        assert [await store.steps(id_of(number)) for number in (1, 2)] == [{"load": "1"}, {}]

    async def test_record_and_finish_of_one_turn_come_in_their_order(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))

        before, finishes, after = await asyncio.gather(
            store.record([_step(claimed, "load"), _log(claimed, "a\n")]),
            store.finish([change(claimed)]),
            store.record([_step(claimed, "wash")]),
        )

        assert (before, finishes.written, after) == ([True, True], [True], [False])
        assert await store.steps(id_of(1)) == {"load": "1"}

    # Prune

    async def test_steps_and_log_go_with_their_run(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([Entry(claimed.id, claimed.token, ("load", "1"), None, "a\n")])
        await store.finish([change(claimed)])

        await store.prune({}, Keep(0.0, 0.0, 0), NOW, NOW + WEEK, 100)
        await ended(store, new(1))

        assert (await store.steps(id_of(1)), await store.log(id_of(1))) == ({}, NOTHING)
