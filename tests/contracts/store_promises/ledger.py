"""The ledger: what became of each tick, with equal results folded into ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.contracts.store import Look, Looked, Store
from tests.contracts.store_promises.samples import NOW, id_of, line, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.model.schedule import Tick


async def _write(store: Store, *batches: Sequence[Tick]) -> list[Tick]:
    """The nightly ledger after these batches of lines, each written by a look of its own; oldest first."""
    await store.put_schedules([row()])
    for number, ticks in enumerate(batches):
        look = Look("nightly", NOW + number, NOW + number + 1)
        looked = Looked(ticks=ticks)
        await store.look([look], lambda _look, _unfinished, looked=looked: looked)  # type: ignore[misc] # bound now
    return [*reversed(await store.ticks("nightly", NOW - 1e6, NOW + 1e6, 1000))]


class Ledger:
    async def test_a_schedule_without_ticks_has_an_empty_ledger(self, store: Store) -> None:
        assert await store.ticks("nightly", 0.0, NOW, 10) == []

    async def test_lines_of_different_results_are_kept_apart(self, store: Store) -> None:
        given = [line(NOW, result="missed"), line(NOW + 1, result="paused"), line(NOW + 2, result="missed")]

        assert await _write(store, given) == given

    async def test_lines_of_one_result_and_different_reasons_are_kept_apart(self, store: Store) -> None:
        given = [line(NOW, reason="a"), line(NOW + 1, reason="b"), line(NOW + 2), line(NOW + 3, reason="")]

        assert await _write(store, given) == given

    async def test_consecutive_lines_of_one_result_and_reason_become_one_range(self, store: Store) -> None:
        found = await _write(store, [line(NOW, reason="a")], [line(NOW + 5, NOW + 9, 3, reason="a")])

        assert found == [line(NOW, NOW + 9, 4, reason="a")]

    async def test_consecutive_lines_without_a_reason_become_one_range(self, store: Store) -> None:
        found = await _write(store, [line(NOW)], [line(NOW + 1)], [line(NOW + 2)])

        assert found == [line(NOW, NOW + 2, 3)]

    async def test_lines_fold_within_one_look_too(self, store: Store) -> None:
        found = await _write(store, [line(NOW), line(NOW + 1), line(NOW + 2, result="paused"), line(NOW + 3)])

        assert found == [line(NOW, NOW + 1, 2), line(NOW + 2, result="paused"), line(NOW + 3)]

    async def test_lines_of_runs_are_kept_apart(self, store: Store) -> None:
        given = [line(NOW + number, result="run", run=id_of(number)) for number in range(3)]

        assert await _write(store, given[:2], given[2:]) == given

    async def test_a_run_between_them_keeps_two_ranges_apart(self, store: Store) -> None:
        run = line(NOW + 2, result="run", run=id_of(1))

        found = await _write(store, [line(NOW), line(NOW + 1)], [run], [line(NOW + 3)])

        assert found == [line(NOW, NOW + 1, 2), run, line(NOW + 3)]

    async def test_lines_of_different_schedules_are_kept_apart(self, store: Store) -> None:
        await store.put_schedules([row("a"), row("b")])

        for until in (1, 2):
            await store.look(
                [Look(name, NOW + until - 1, NOW + until) for name in "ab"],
                lambda look, _unfinished: Looked(ticks=[line(look.until, schedule=look.schedule)]),
            )

        found = [tick for name in "ab" for tick in await store.ticks(name, NOW, NOW + 9, 10)]
        assert found == [line(NOW + 1, NOW + 2, 2, schedule=name) for name in "ab"]

    async def test_the_ranges_add_up_to_every_tick(self, store: Store) -> None:
        ticks = [line(NOW + n, result=["missed", "paused", "skipped"][n // 7 % 3]) for n in range(100)]

        found = await _write(store, *(ticks[start : start + 9] for start in range(0, 100, 9)))

        assert sum(tick.count for tick in found) == 100
        assert len(found) == 15

    async def test_ticks_are_the_lines_that_touch_the_span_newest_first(self, store: Store) -> None:
        lines = [line(NOW + n, NOW + n + 9, 10, result=str(n)) for n in (0, 10, 20, 30)]
        await _write(store, lines)

        async def found(since: float, until: float) -> list[str]:
            return [tick.result for tick in await store.ticks("nightly", NOW + since, NOW + until, 10)]

        assert await found(12, 15) == ["10"]
        assert await found(9, 20) == ["20", "10", "0"]
        assert await found(-5, 0) == ["0"]
        assert await found(39, 99) == ["30"]
        assert await found(39.5, 99) == []
        assert await found(9.2, 9.8) == []

    async def test_no_more_lines_are_given_than_limit_and_they_are_the_newest(self, store: Store) -> None:
        await _write(store, [line(NOW + number, result=str(number)) for number in range(5)])

        found = await store.ticks("nightly", NOW, NOW + 9, 2)

        assert [tick.result for tick in found] == ["4", "3"]

    async def test_lines_of_several_schedules_are_read_together_newest_first(self, store: Store) -> None:
        names = ["b", "a", "other"]
        await store.put_schedules([row(name) for name in names])
        for name, firsts in {"b": [1, 5, 9], "a": [2, 5], "other": [3]}.items():
            ticks = [line(NOW + at, schedule=name, result="run", run=id_of(at)) for at in firsts]
            looked = Looked(ticks=ticks)
            await store.look([Look(name, NOW, NOW + 9)], lambda _look, _unfinished, looked=looked: looked)  # type: ignore[misc] # bound now

        async def found(schedules: list[str], since: float, until: float, limit: int = 10) -> list[tuple[str, float]]:
            lines = await store.ticks_of(schedules, NOW + since, NOW + until, limit)
            return [(one.schedule, one.first - NOW) for one in lines]

        assert await found(["b", "a", "unknown"], 0, 9) == [("b", 9), ("a", 5), ("b", 5), ("a", 2), ("b", 1)]
        assert await found(["a", "b", "a"], 0, 9, 3) == [("b", 9), ("a", 5), ("b", 5)]
        assert await found(["a", "b", "other"], 2, 3) == [("other", 3), ("a", 2)]
        assert await found([], 0, 9) == []

    async def test_a_range_that_only_touches_the_span_is_among_the_lines_of_several(self, store: Store) -> None:
        await _write(store, [line(NOW, NOW + 50, 6)])

        assert await store.ticks_of(["nightly"], NOW + 20, NOW + 30, 5) == [line(NOW, NOW + 50, 6)]
