"""The rows of schedules: written whole, removed by name, paused by an operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Look, Looked, RunQuery, Store
from tests.contracts.store_promises.samples import NOW, line, numbers, row, tick_run

if TYPE_CHECKING:
    from kernel.model.schedule import ScheduleRow


async def _rows(store: Store) -> dict[str, ScheduleRow]:
    return {found.name: found for found in await store.schedules()}


class Schedules:
    async def test_an_empty_store_has_no_schedules(self, store: Store) -> None:
        assert await store.schedules() == []

    async def test_a_schedule_comes_back_exactly_as_it_was_put(self, store: Store) -> None:
        given = row("ä-1", looked_until=NOW + 0.125, dynamic=True, anchor=NOW - 0.5, paused=False)

        await store.put_schedules([given])

        assert await store.schedules() == [given]

    async def test_several_schedules_are_put_in_one_call(self, store: Store) -> None:
        given = [row("b"), row("a"), row("c")]

        await store.put_schedules(given)

        assert await _rows(store) == {one.name: one for one in given}

    async def test_schedules_are_read_by_name(self, store: Store) -> None:
        await store.put_schedules([row("a"), row("b"), row("c")])

        assert await store.schedules(["c", "unknown", "a", "c"]) == [row("a"), row("c")]
        assert await store.schedules([]) == []

    async def test_the_next_version_replaces_a_schedule(self, store: Store) -> None:
        await store.put_schedules([row("a", dynamic=True), row("b")])
        newer = row("a", looked_until=NOW + 9, definition='{"n":2}', anchor=NOW + 1, version=2)

        assert await store.put_schedules([newer]) == [True]

        assert await _rows(store) == {"a": newer, "b": row("b")}

    @pytest.mark.parametrize("version", [1, 3])
    async def test_a_version_that_is_not_the_next_one_changes_nothing(self, store: Store, version: int) -> None:
        await store.put_schedules([row("a")])

        given = [row("b"), row("a", definition='{"n":2}', anchor=NOW + 1, version=version), row("c", version=2)]

        assert await store.put_schedules(given) == [True, False, False]
        assert await _rows(store) == {"a": row("a"), "b": row("b")}

    async def test_of_two_that_put_the_next_version_at_one_moment_one_is_first(self, store: Store) -> None:
        await store.put_schedules([row("a")])
        given = [row("a", anchor=NOW + number, version=2) for number in range(5)]

        answers = await asyncio.gather(*(store.put_schedules([one]) for one in given))

        assert sorted(answers) == [[False]] * 4 + [[True]]
        assert await _rows(store) == {"a": given[answers.index([True])]}

    async def test_a_schedule_that_was_removed_does_not_come_back_by_a_later_version(self, store: Store) -> None:
        await store.put_schedules([row("a")])
        await store.remove_schedules(["a"])

        assert await store.put_schedules([row("a", version=2)]) == [False]
        assert await store.schedules() == []

    async def test_a_row_that_is_put_again_does_not_undo_a_look_in_between(self, store: Store) -> None:
        await store.put_schedules([row("a"), row("b")])
        await store.look([Look("a", NOW, NOW + 60), Look("b", NOW, NOW + 60)], lambda _look, _unfinished: Looked())

        put = [row("a", anchor=NOW + 1, version=2), row("b", looked_until=NOW + 90, version=2)]

        assert await store.put_schedules(put) == [True, True]
        assert await _rows(store) == {
            "a": row("a", looked_until=NOW + 60, anchor=NOW + 1, version=2),
            "b": row("b", looked_until=NOW + 90, version=2),
        }

    async def test_a_clock_that_was_set_back_takes_a_row_back(self, store: Store) -> None:
        await store.put_schedules([row("a", looked_until=NOW + 3600)])

        assert await store.put_schedules([row("a", version=2)], True) == [True]
        assert await store.put_schedules([row("a", looked_until=NOW - 9, version=2)], True) == [False]

        assert await _rows(store) == {"a": row("a", version=2)}

    @pytest.mark.parametrize("paused", [True, False, None])
    async def test_a_row_that_is_put_again_does_not_undo_what_an_operator_has_done_meanwhile(
        self, store: Store, paused: bool | None
    ) -> None:
        await store.put_schedules([row("a", paused=not paused)])
        await store.pause_schedule("a", paused)

        await store.put_schedules([row("a", paused=not paused, anchor=NOW + 1, version=2)])

        assert await _rows(store) == {"a": row("a", paused=paused, anchor=NOW + 1, version=2)}

    async def test_removed_schedules_are_gone(self, store: Store) -> None:
        await store.put_schedules([row("a"), row("b"), row("c")])

        await store.remove_schedules(["a", "c", "unknown"])

        assert set(await _rows(store)) == {"b"}

    async def test_ticks_and_runs_of_a_removed_schedule_stay(self, store: Store) -> None:
        await store.put_schedules([row()])
        looked = Looked(runs=[tick_run(1, NOW)], ticks=[line(NOW)])
        await store.look([Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: looked)

        await store.remove_schedules(["nightly"])

        assert await store.ticks("nightly", NOW, NOW, 10) == [line(NOW)]
        assert numbers(await store.runs(RunQuery(schedule="nightly"))) == [1]

    @pytest.mark.parametrize("paused", [True, False, None])
    async def test_an_operators_pause_is_written_to_the_row(self, store: Store, paused: bool | None) -> None:
        await store.put_schedules([row("a", paused=not paused), row("b")])

        assert await store.pause_schedule("a", paused) is True

        assert await _rows(store) == {"a": row("a", paused=paused), "b": row("b")}

    async def test_pausing_an_unknown_schedule_says_so(self, store: Store) -> None:
        assert await store.pause_schedule("unknown", True) is False
        assert await store.schedules() == []
