"""Reading runs: filters, pages newest first, and counts."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.contracts.store import RunQuery, Store
from kernel.model.run import Run
from tests.contracts.store_promises.samples import (
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
