"""Reading runs: filters, pages newest first, and counts."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.contracts.store import RunQuery, Store
from kernel.model.run import Failure, Run
from tests.contracts.store_promises.samples import (
    DAY,
    NO_LIMIT,
    NOW,
    change,
    claim_one,
    ended,
    id_of,
    later,
    new,
    numbers,
    tick_run,
)  # fmt: skip


async def _mixed(store: Store) -> None:
    """Runs 1 to 7, in as many states, of two jobs and queues, some with tags or of a schedule."""
    await ended(store, new(1))
    await ended(store, new(2, "fleet.wash", tags=("red",)), "failed")
    await ended(store, new(3, queue="washing"), "cancelled")
    await claim_one(store, new(4, "fleet.wash", queue="washing", tags=("red", "blue")))
    await store.enqueue(
        [new(5), later(6, NOW + 5, tags=("blue",)), tick_run(7, NOW, state="blocked", queue="washing")], NO_LIMIT
    )


def _made_at(instant: float) -> str:
    """The id of a run that was made then."""
    bits = f"{int(instant * 1000):012x}"
    return f"{bits[:8]}-{bits[8:]}-7000-8000-000000000001"


class Reading:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, [7, 6, 5, 4, 3, 2, 1]),
            ({"ids": [id_of(2), id_of(5), id_of(9)]}, [5, 2]),
            ({"ids": []}, []),
            ({"states": ["queued"]}, [5]),
            ({"states": ["failed", "running", "completed"]}, [4, 2, 1]),
            ({"states": ["scheduled", "blocked"]}, [7, 6]),
            ({"states": []}, []),
            ({"states": ["retrying"]}, []),
            ({"job": "fleet.wash"}, [4, 2]),
            ({"job": "fleet"}, []),
            ({"queue": "washing"}, [7, 4, 3]),
            ({"schedule": "nightly"}, [7]),
            ({"tag": "red"}, [4, 2]),
            ({"tag": "blue"}, [6, 4]),
            ({"tag": "re"}, []),
            ({"tag": "red", "states": ["failed"]}, [2]),
            ({"job": "fleet.sync", "queue": "default", "states": ["queued", "scheduled"], "tag": "blue"}, [6]),
            ({"ids": [id_of(1), id_of(2)], "job": "fleet.wash"}, [2]),
            ({"limit": 3}, [7, 6, 5]),
            ({"limit": 0}, []),
            ({"limit": 2, "before": id_of(5)}, [4, 3]),
            ({"queue": "washing", "limit": 1, "before": id_of(7)}, [4]),
            ({"before": id_of(1)}, []),
        ],
    )
    async def test_a_query_finds_what_its_filters_say_newest_first(
        self, store: Store, query: dict[str, Any], expected: list[int]
    ) -> None:
        await _mixed(store)

        found = await store.runs(RunQuery(**query))

        assert numbers(found) == expected

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (
                {},
                {"completed": 1, "failed": 1, "cancelled": 1, "running": 1, "queued": 1, "scheduled": 1, "blocked": 1},
            ),
            ({"job": "fleet.wash"}, {"failed": 1, "running": 1}),
            ({"queue": "washing"}, {"cancelled": 1, "running": 1, "blocked": 1}),
            ({"tag": "red", "limit": 1}, {"failed": 1, "running": 1}),
            ({"states": ["queued", "failed"], "before": id_of(2)}, {"queued": 1, "failed": 1}),
            ({"schedule": "nightly"}, {"blocked": 1}),
            ({"ids": [id_of(1), id_of(5)]}, {"completed": 1, "queued": 1}),
            ({"job": "unknown"}, {}),
            ({"states": []}, {}),
        ],
    )
    async def test_count_counts_by_state_whatever_the_page(
        self, store: Store, query: dict[str, Any], expected: dict[str, int]
    ) -> None:
        await _mixed(store)

        assert await store.count(RunQuery(**query)) == expected

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"since": NOW + 200}, [3, 2]),
            ({"until": NOW + 200}, [1]),
            ({"since": NOW + 200, "until": NOW + 300}, [2]),
            ({"since": NOW + 200.5, "until": NOW + 300}, []),
            ({"since": NOW - DAY, "until": NOW + DAY, "limit": 2}, [3, 2]),
            ({"since": NOW, "before": id_of(3), "limit": 1}, [2]),
            ({"until": NOW + 300, "before": id_of(2)}, [1]),
            ({"since": NOW + 100, "states": ["failed", "scheduled"]}, [3, 1]),
            ({"since": NOW + 150, "job": "fleet.wash"}, [2]),
            ({"ids": [id_of(1), id_of(2)], "until": NOW + 150}, [1]),
            ({"since": NOW + DAY}, []),
            ({"until": NOW - DAY}, []),
        ],
    )
    async def test_runs_are_found_by_when_they_were_enqueued(
        self, store: Store, query: dict[str, Any], expected: list[int]
    ) -> None:
        await ended(store, new(1, enqueued=NOW + 100), "failed")
        await ended(store, new(2, "fleet.wash", enqueued=NOW + 200))
        await store.enqueue([later(3, NOW + 900, enqueued=NOW + 300)], NO_LIMIT)

        found = await store.runs(RunQuery(**query))
        counts = await store.count(RunQuery(**{**query, "before": None}))

        assert numbers(found) == expected
        if not {"before", "limit"} & query.keys():
            assert sum(counts.values()) == len(expected)

    async def test_a_time_is_found_among_runs_of_many_milliseconds(self, store: Store) -> None:
        at = {number: NOW + number * 90.0 for number in range(300)}
        runs = [new(number, enqueued=at[number])._replace(id=_made_at(at[number])) for number in at]
        await store.enqueue(runs, NO_LIMIT)

        found = await store.runs(RunQuery(since=at[40], until=at[260], limit=1000))
        newest = await store.runs(RunQuery(since=at[40], until=at[260], limit=3))
        counts = await store.count(RunQuery(since=at[299], queue="default"))

        assert [run.enqueued for run in found] == [at[number] for number in range(259, 39, -1)]
        assert newest == found[:3]
        assert counts == {"queued": 1}

    async def test_of_clocks_that_differ_by_a_minute_no_run_is_missed(self, store: Store) -> None:
        ahead = new(1, enqueued=NOW + 30)._replace(id=_made_at(NOW - 29))
        behind = new(2, enqueued=NOW - 29)._replace(id=_made_at(NOW + 30))
        await store.enqueue([ahead, behind], NO_LIMIT)

        assert [run.id for run in await store.runs(RunQuery(since=NOW))] == [ahead.id]
        assert [run.id for run in await store.runs(RunQuery(until=NOW))] == [behind.id]

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            ("car 42", [6, 1]),
            ("VALUEerror", [6, 1]),
            ("ValueError: bad", [6, 1]),
            ("100%_sure", [2]),
            ("100%", [2]),
            ("1__%", []),
            ('it\'s "so"', [2]),
            ("\\path", [2]),
            ("Äpfel", [2]),
            ("äPFEL", []),
            ("no longer", [3]),
            ("nfoo", []),
            ("e4", []),
            ("traceback", []),
            ("secret line", []),
            ("message", []),
            ("unknown: no json", [5]),
            ('{"a"', []),
            ("\0", []),
            ("\ud800", []),
        ],
    )
    async def test_runs_are_found_by_a_text_of_their_error_or_reason(
        self, store: Store, error: str, expected: list[int]
    ) -> None:
        await self._failed(store)

        found = await store.runs(RunQuery(error=error))
        counts = await store.count(RunQuery(error=error))

        assert numbers(found) == expected
        assert sum(counts.values()) == len(expected)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"states": ["failed"]}, [1]),
            ({"states": ["completed"]}, [4]),
            ({"states": ["completed", "retrying", "failed"]}, [6, 4, 1]),
            ({"states": ["queued", "blocked"]}, []),
            ({"job": "fleet.wash"}, [6]),
            ({"limit": 1}, [6]),
            ({"before": id_of(6)}, [1]),
            ({"ids": [id_of(1), id_of(2)]}, [1]),
            ({"since": NOW + 1}, []),
        ],
    )
    async def test_a_text_of_an_error_goes_with_other_filters(
        self, store: Store, query: dict[str, Any], expected: list[int]
    ) -> None:
        await self._failed(store)

        found = await store.runs(RunQuery(error="Car 42", **query))

        assert numbers(found) == expected
        if not {"before", "limit"} & query.keys():
            assert sum((await store.count(RunQuery(error="Car 42", **query))).values()) == len(expected)

    async def _failed(self, store: Store) -> None:
        """Runs 1 to 5 have ended, all but 4 badly, 6 waits for its retry; 4 completed after an error."""
        error = Failure("ValueError", "bad car 42", "secret line").as_text()
        odd = Failure("X", '100%_sure it\'s "so" \\path\nfoo Äpfel').as_text()
        await ended(store, new(1), "failed", error=error)
        await ended(store, new(2), "failed", error=odd)
        await ended(store, new(3), "cancelled")
        await ended(store, new(4), error=error)
        await ended(store, new(5), "failed", error="no json")
        claimed = await claim_one(store, new(6, "fleet.wash"))
        await store.finish([change(claimed, "retrying", due=NOW + 9, error=error)])
        await store.enqueue([later(7, NOW + 50)], NO_LIMIT)

    async def test_the_runs_that_are_found_are_whole_rows(self, store: Store) -> None:
        await _mixed(store)

        found = await store.runs(RunQuery())

        assert all(type(run) is Run for run in found)

    async def test_pages_of_five_hundred_runs_have_no_gap_and_no_double(self, store: Store) -> None:
        await store.enqueue([new(number, "fleet.wash") for number in range(100, 250)], NO_LIMIT)
        await store.enqueue([later(number, NOW + 9) for number in range(250, 500)], NO_LIMIT)
        await store.enqueue([new(number, "fleet.wash") for number in range(100)], NO_LIMIT)

        pages = [await store.runs(RunQuery(limit=60))]
        while pages[-1] and len(pages) < 20:
            pages.append(await store.runs(RunQuery(limit=60, before=pages[-1][-1].id)))

        assert [len(page) for page in pages] == [*[60] * 8, 20, 0]
        assert [number for page in pages for number in numbers(page)] == list(range(499, -1, -1))

    async def test_a_page_goes_on_where_the_last_one_ended_even_if_that_run_is_gone(self, store: Store) -> None:
        await store.enqueue([new(1), new(2), new(4)], NO_LIMIT)

        assert numbers(await store.runs(RunQuery(before=id_of(3)))) == [2, 1]

    async def test_pages_of_a_filter_have_no_gap_either(self, store: Store) -> None:
        await store.enqueue([new(n, "fleet.wash" if n % 7 == 0 else "fleet.sync") for n in range(500)], NO_LIMIT)

        first = await store.runs(RunQuery(job="fleet.wash", limit=40))
        second = await store.runs(RunQuery(job="fleet.wash", limit=40, before=first[-1].id))

        assert numbers([*first, *second]) == list(range(497, -1, -7))

    async def test_a_page_is_fifty_runs_unless_more_are_asked_for(self, store: Store) -> None:
        await store.enqueue([new(number) for number in range(60)], NO_LIMIT)

        assert len(await store.runs(RunQuery())) == 50

    async def test_a_run_keeps_its_place_in_the_pages_whatever_becomes_of_it(self, store: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.enqueue([new(2)], NO_LIMIT)
        await store.finish([change(claimed, "retrying", due=NOW + 1)])

        assert numbers(await store.runs(RunQuery())) == [2, 1]
