"""Names, keys and payloads are values to SQL, whatever stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.contracts.store import Announced, Claim, Look, Looked, RunQuery
from kernel.model.errors import RequestError
from kernel.model.schedule import ScheduleRow, Tick
from tests.unit.plugins.sqlite.sqlite_samples import KERNEL, NOW, completed, new

if TYPE_CHECKING:
    from plugins.sqlite.store import SqliteStore

TEXTS = [
    "'; DROP TABLE run; --", '"', "''", "x' OR '1'='1", "?", "?1", ":a", "%", "_", "\\", "\n", "-- each\n", "[1]",
    '{"a":1}', "null", "NULL", "", " ", "ä", "𝄞", "\u202e", "\x7f", "a\x00b", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
async def test_a_text_comes_back_as_it_was_given_and_finds_only_itself(store: SqliteStore, text: str) -> None:
    run = new(job=text, queue=text, payload=text, unique=text, tags=(text,), schedule=text, tick=NOW)
    other = new()

    assert await store.enqueue([run, other], {text: 10}) == [run.id, other.id]
    assert await store.enqueue([new(job=text, unique=text)], {}) == [run.id]
    for query in (
        RunQuery(job=text), RunQuery(queue=text), RunQuery(tag=text), RunQuery(schedule=text),
        RunQuery(job=text, queue=text, states=["queued"]),
    ):  # fmt: skip
        assert [found.id for found in await store.runs(query)] == [run.id]
        assert await store.count(query) == {"queued": 1}
    claims = await store.claim(Claim(KERNEL.id, NOW, 10, {text: 10}, {text: 10}))
    assert [claimed.id for claimed in claims.runs] == [run.id]
    [claimed] = claims.runs
    assert (claimed.job, claimed.queue, claimed.payload, claimed.extra) == (text, text, text, run.extra)
    change = completed(claimed)._replace(result=text, reason=text, notes=text, error=text, schedule=text)
    assert (await store.finish([change])).written == [True]
    [found] = await store.runs(RunQuery(ids=[run.id]))
    assert (found.result_text, found.reason, found.notes_text, found.error_text) == (text,) * 4


@pytest.mark.parametrize("text", TEXTS)
async def test_the_small_tables_keep_any_text(store: SqliteStore, text: str) -> None:
    await store.put_schedules([ScheduleRow(text, text, True, NOW, NOW)])
    run = new(schedule=text, tick=NOW)
    tick = Tick(text, NOW, NOW, 1, "missed", text, None)
    await store.look([Look(text, NOW, NOW + 1)], lambda _look, _unfinished: Looked([run], [tick]))
    again = await store.look(
        [Look(text, NOW + 1, NOW + 2)],
        lambda _look, unfinished: Looked(ticks=[tick._replace(first=NOW + 1, last=NOW + 1)], cancel=[unfinished[0].id]),
    )
    await store.announce(text, [Announced(text, text, text, text)], NOW)
    await store.put(text, {text: text})
    await store.pause_queue(text, NOW)

    assert again != [None]
    assert await store.ticks(text, NOW, NOW + 9, 9) == [Tick(text, NOW, NOW + 1, 2, "missed", text)]
    assert await store.schedules() == [ScheduleRow(text, text, True, NOW, NOW + 2)]
    assert await store.announced() == [Announced(text, text, text, text)]
    assert await store.get(text, [text]) == {text: text}
    assert [queue.name for queue in await store.queues() if queue.paused_until] == [text]
    await store.put(text, {text: None})
    assert await store.get(text) == {}


async def test_ids_that_are_anything_find_nothing(store: SqliteStore) -> None:
    await store.enqueue([new()], {})

    assert await store.runs(RunQuery(ids=TEXTS)) == []
    assert await store.cancel(TEXTS, "", NOW) == []
    assert await store.retry(TEXTS, NOW) == []


async def test_a_text_that_is_no_unicode_is_refused(store: SqliteStore) -> None:
    with pytest.raises(RequestError, match="cannot be stored"):
        await store.enqueue([new(payload="\ud800")], {})

    assert await store.count(RunQuery()) == {}
