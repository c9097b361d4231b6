"""Whichever way a list is found, by the newest runs, by an index or through all of them, it has the same runs."""

from __future__ import annotations

import random
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import ERROR_STATES, RunQuery
from kernel.model.run import Failure, IdSource
from plugins.sqlite import lists
from plugins.sqlite.rows import CODE_OF
from tests.unit.plugins.sqlite.sqlite_samples import NOW, news

if TYPE_CHECKING:
    from kernel.model.run import Run
    from plugins.sqlite.store import SqliteStore

MANY = 300
STATES = [None, ["failed"], ["failed", "running", "queued"], ["retrying", "expired"], ["completed", "failed"], []]
SPANS = [(None, None), (NOW + 100, None), (NOW + 50, NOW + 200), (None, NOW + 100)]


async def _fill(store: SqliteStore) -> None:
    """Runs in all states, with what they are filtered by drawn by lot; a second apart."""
    draw, ids = random.Random(7), sorted(IdSource().next(MANY))  # noqa: S311 - a lot, no secret
    states = [code for state, code in CODE_OF.items() if state != "queued"] + [CODE_OF["queued"]]
    await store.enqueue([run._replace(id=one) for run, one in zip(news(MANY), ids, strict=True)], {})
    rows = [
        (
            NOW + at, draw.choice(["a.one", "a.two"]), draw.choice(["default", "slow"]), draw.choice(states),
            draw.choice([None, '["red"]', '["red","blue"]']),
            draw.choice([None, Failure("E", f"Bad {draw.randint(0, 3)}").as_text(), "odd 2"]), draw.choice([None, "Why"]),
            NOW + at, f"{int((NOW + at) * 1000):012x}"[:8] + "-" + f"{int((NOW + at) * 1000):012x}"[8:] + one[13:], one,
        )
        for at, one in enumerate(ids)
    ]  # fmt: skip
    assert store._writer is not None
    await store._writer.call(
        lambda database: database.connection.executemany(
            "UPDATE run SET enqueued=?, job=?, queue=?, state=?, tags=?, error=?, reason=?, finished=?, id=? WHERE id=?",
            rows,
        )
    )


def _fits(run: Run, query: RunQuery) -> bool:
    states = ERROR_STATES if query.error is not None and query.states is None else query.states
    said = f"{run.error or ''} {run.reason or ''}".lower()
    return (
        (states is None or run.state in states)
        and (query.job is None or run.job == query.job)
        and (query.queue is None or run.queue == query.queue)
        and (query.tag is None or query.tag in run.tags)
        and (query.since is None or run.enqueued >= query.since)
        and (query.until is None or run.enqueued < query.until)
        and (query.error is None or query.error.lower() in said)
        and (query.before is None or run.id < query.before)
    )


@pytest.mark.parametrize(
    ("windows", "large_job"), [((2_000, 20_000), 10), ((3, 20_000), 10), ((3, 7), 10), ((3, 7), 10_000)]
)
async def test_every_filter_finds_the_same_runs_in_every_way(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, windows: tuple[int, int], large_job: int
) -> None:
    await _fill(store)
    every = await store.runs(RunQuery(limit=MANY))
    monkeypatch.setattr(lists, "_WINDOW", windows[0])
    monkeypatch.setattr(lists, "_WIDE_WINDOW", windows[1])
    monkeypatch.setattr(lists, "_LARGE_JOB", large_job)
    wrong: list[Any] = []

    for states, (since, until), job, queue, tag, error, before in product(
        STATES, SPANS, [None, "a.one"], [None, "slow"], [None, "blue"], [None, "bad 2", "WHY"], [None, every[100].id]
    ):
        query = RunQuery(None, states, job, queue, None, tag, 20, before, since, until, error)
        fitting = [run for run in every if _fits(run, query)]
        if await store.runs(query) != fitting[:20]:
            wrong.append(query)
        if before is None and sum((await store.count(query)).values()) != len(fitting):
            wrong.append(("count", query))

    assert len(every) == MANY
    assert wrong == []
