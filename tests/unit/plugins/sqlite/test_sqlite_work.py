"""What a call costs does not grow with what waits beside it: counted in statements and instructions of SQLite, not in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.contracts.store import Claim, Claims, Entry
from kernel.model.rate import RateLimit
from kernel.model.run import Change, Claimed, NewRun, Terms, urgency_of
from plugins.sqlite import limited
from tests.unit.plugins.sqlite.sqlite_samples import (
    JOB,
    KERNEL,
    NOW,
    ask,
    completed,
    look_into,
    new,
    news,
    statements_of,
    work_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from plugins.sqlite.store import SqliteStore

MANY = 10_000
ONE_EACH: dict[str, Any] = {"key_limits": {JOB: 1}}


def limit(most: int = 100, now: float = NOW, **limits: Any) -> Claim:
    return Claim(KERNEL.id, now, most, {JOB: 1000}, {}, **limits)


def after(*parents: str, job: str = JOB) -> NewRun:
    return new(job=job)._replace(state="blocked", terms=Terms(depends_on=parents))


def failed(run: Claimed) -> Change:
    return completed(run)._replace(state="failed")


async def claimed(store: SqliteStore, wanted: Claim) -> list[Claimed]:
    return (await store.claim(wanted)).runs


# What uses none of it


async def test_a_plain_run_costs_one_probe_more_than_what_is_done_with_it(store: SqliteStore) -> None:
    first = [new(), *news(9)]
    await store.enqueue(news(1), {})
    await store.finish([completed(run) for run in await claimed(store, ask())])

    entering = await statements_of(store, store.enqueue(first, {}))
    claiming = await statements_of(store, store.claim(ask()))
    runs = [Claimed(run.id, run.job, run.queue, 5, "{}", NOW, NOW, run.urgency, 1, 1, 0, None) for run in first]
    finishing = await statements_of(store, store.finish([completed(run) for run in runs]))

    assert [len(entering), len(claiming), len(finishing)] == [1, 3, 2]
    assert "edge" in finishing[1]


async def test_a_plain_batch_reads_nothing_of_limits_periods_or_dependencies_whatever_there_is(
    store: SqliteStore,
) -> None:
    await store.enqueue([new(unique="k"), new(concurrency_key="a"), new(job="fleet.other")], {})

    entering = await statements_of(store, store.enqueue(news(10), {}))

    assert len(entering) == 1


# Dependencies


async def test_a_finish_of_one_of_many_parents_costs_as_much_as_of_one_of_few(store: SqliteStore) -> None:
    costs = []
    for count in (10, MANY):
        parents = news(count)
        for start in range(0, count, 1000):
            await store.enqueue(parents[start : start + 1000], {})
        child = after(*(run.id for run in parents))
        await store.enqueue([child], {})
        *others, second, third, last = [run for _ in range(0, count, 1000) for run in await claimed(store, limit(1000))]
        _, early = await work_of(store, store.finish([completed(second)]))
        await store.finish([completed(run) for run in others])
        _, late = await work_of(store, store.finish([completed(third)]))
        costs.append((early, late))
        finishes = await store.finish([completed(last)])
        assert (finishes.freed, [run.id for run in await claimed(store, ask())]) == (True, [child.id])

    (early, late), (early_of_many, late_of_many) = costs
    assert (early_of_many < early * 1.5, late_of_many < late * 1.5) == (True, True)


async def test_a_failure_of_one_of_many_parents_costs_as_much_as_of_one_of_few(store: SqliteStore) -> None:
    costs = []
    for count in (10, MANY):
        parents = news(count)
        for start in range(0, count, 1000):
            await store.enqueue(parents[start : start + 1000], {})
        terms = Terms(depends_on=tuple(run.id for run in parents), on_parent_failure="run")
        await store.enqueue([new()._replace(state="blocked", terms=terms)], {})
        first, second = await claimed(store, ask(2))
        await store.finish([failed(first)])
        costs.append((await work_of(store, store.finish([failed(second)])))[1])
        await store.cancel([run.id for run in parents], "", NOW)

    few, many = costs
    assert many < few * 1.5


async def test_a_finish_on_which_nothing_depends_costs_no_more_for_all_the_dependencies_of_others(
    store: SqliteStore,
) -> None:
    await store.enqueue(news(2), {})
    one, other = await claimed(store, ask(2))
    alone = len(await statements_of(store, store.finish([completed(one)])))
    parents = news(MANY // 10, job="fleet.other")
    await store.enqueue(parents, {})
    await store.enqueue([after(*(run.id for run in parents), job="fleet.other") for _ in range(20)], {})

    _, work = await work_of(store, store.finish([completed(other)]))

    assert alone == 2
    assert work < 1_000


# Keys


@pytest.fixture
async def crowded(store: SqliteStore) -> SqliteStore:
    """Very many runs of one key wait while one runs; others come behind."""
    for _ in range(MANY // 1000):
        await store.enqueue(news(1000, concurrency_key="crowd"), {})
    [running] = await claimed(store, limit(**ONE_EACH))
    assert running.extra is not None
    await store.enqueue([new(concurrency_key=f"other-{number}") for number in range(200)], {})
    return store


async def test_those_of_a_full_key_are_not_met_by_claims_of_others(crowded: SqliteStore) -> None:
    claims, work = await work_of(crowded, crowded.claim(limit(50, **ONE_EACH)))

    assert {run.extra.concurrency_key for run in claims.runs if run.extra} == {f"other-{n}" for n in range(50)}
    assert work < 50_000


async def test_a_claim_of_plain_runs_beside_a_full_key_reads_only_these(crowded: SqliteStore) -> None:
    await claimed(crowded, limit(1000, **ONE_EACH))
    await crowded.enqueue(news(10, job="fleet.plain"), {})

    claims, work = await work_of(
        crowded, crowded.claim(Claim(KERNEL.id, NOW, 100, {JOB: 100, "fleet.plain": 100}, {}, **ONE_EACH))
    )

    assert len(claims.runs) == 10
    assert work < 10_000


async def test_a_run_that_ends_lets_the_next_of_many_go_by_one_step(store: SqliteStore) -> None:
    for _ in range(MANY // 1000):
        await store.enqueue(news(1000, concurrency_key="crowd"), {})
    works = []
    [running] = await claimed(store, limit(**ONE_EACH))
    for _ in range(3):
        works.append((await work_of(store, store.finish([completed(running)])))[1])
        claims, work = await work_of(store, store.claim(limit(**ONE_EACH)))
        [running] = claims.runs
        works.append(work)

    assert max(works) < 6_000


async def test_a_key_with_room_for_more_than_wait_in_its_lane_takes_only_these(store: SqliteStore) -> None:
    for _ in range(MANY // 1000):
        await store.enqueue(news(1000, concurrency_key="crowd"), {})

    claims, work = await work_of(store, store.claim(limit(key_limits={JOB: 50})))

    assert len(claims.runs) == 50
    assert work < 120_000


async def test_newcomers_of_a_crowd_are_held_back_as_they_enter(store: SqliteStore, path: Path) -> None:
    for _ in range(3):
        await store.enqueue(news(500, concurrency_key="crowd", rate_key="crowd"), {})

    waiting = dict(look_into(path, "SELECT state, count(*) FROM run GROUP BY state"))

    assert waiting == {4: 16, -1: 1484}


async def test_many_keys_cost_a_claim_no_more_than_it_takes(store: SqliteStore) -> None:
    for start in range(0, MANY, 1000):
        await store.enqueue([new(concurrency_key=f"key-{start + number}") for number in range(1000)], {})
    for start in range(0, MANY, 1000):
        await store.enqueue([new(concurrency_key=f"key-{start + number}") for number in range(1000)], {})
    wanted = Claim(KERNEL.id, NOW, 1000, {JOB: MANY}, {}, **ONE_EACH)
    running: list[Claimed] = []
    answer = await store.claim(wanted)
    while answer.runs or answer.next_due is not None:
        running += answer.runs
        answer = await store.claim(wanted)
    assert len(running) == MANY

    finishes, finish = await work_of(store, store.finish([completed(run) for run in running[:10]]))
    claims, claim = await work_of(store, store.claim(wanted))
    _, idle = await work_of(store, store.claim(wanted))

    assert len(finishes.written) == len(claims.runs) == 10
    assert (finish < 20_000, claim < 30_000, idle < 2_000) == (True, True, True)


async def test_a_flood_that_comes_due_is_set_aside_in_pieces(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "_MOST_ASIDE", 200)
    await store.enqueue([new(concurrency_key="a")], {})
    await claimed(store, limit(**ONE_EACH))
    flood = [new(concurrency_key="a")._replace(state="scheduled", due=NOW + 1) for _ in range(1000)]
    await store.enqueue(flood, {})
    plain = new()._replace(due=NOW + 2, urgency=urgency_of(NOW + 2, 9))
    await store.enqueue([plain], {})

    answers: list[Claims] = []
    while not answers or answers[-1].next_due == NOW + 1:
        answers.append(await store.claim(limit(10, NOW + 1, **ONE_EACH)))

    assert 3 <= len(answers) <= 6
    assert [run.id for answer in answers for run in answer.runs] == [plain.id]
    assert answers[-1].next_due is None


# Rates


async def test_those_that_wait_for_the_rate_of_their_key_are_looked_at_one_by_one(store: SqliteStore) -> None:
    rates: dict[str, Any] = {"key_rates": {JOB: RateLimit(1, 60)}}
    for _ in range(MANY // 1000):
        await store.enqueue(news(1000, rate_key="a"), {})
    await store.enqueue(news(5, rate_key="b"), {})
    first = await store.claim(limit(**rates))

    idle, idle_work = await work_of(store, store.claim(limit(now=NOW + 1, **rates)))
    second, work = await work_of(store, store.claim(limit(now=first.next_due or 0.0, **rates)))

    assert (len(first.runs), len(idle.runs), len(second.runs)) == (2, 0, 2)
    assert (idle_work < 3_000, work < 12_000) == (True, True)


async def test_a_rate_keeps_no_more_slots_than_its_window_has(store: SqliteStore, path: Path) -> None:
    rates: dict[str, Any] = {"job_rates": {JOB: RateLimit(1_000_000, 60)}}
    await store.enqueue(news(150), {})
    for number in range(150):
        assert len(await claimed(store, limit(1, NOW + number, **rates))) == 1

    [(slots,)] = look_into(path, "SELECT count(*) FROM rate")
    assert slots <= 101


# What runs write down


async def test_a_log_of_many_small_pieces_is_kept_in_few_parts(store: SqliteStore, path: Path) -> None:
    await store.enqueue(news(1), {})
    [run] = await claimed(store, ask())
    for number in range(150):
        await store.record([Entry(run.id, run.token, log=f"line {number} {'x' * 700}\n")])

    [(parts, most)] = look_into(path, "SELECT count(*), max(bytes) FROM log_part")
    assert parts <= 20
    assert most < 8192
    log = await store.log(run.id)
    assert (log.is_cut, len(log.text) <= 65_536, log.text.endswith(f"line 149 {'x' * 700}\n")) == (True, True, True)


async def test_progress_does_not_write_the_run_anew(store: SqliteStore) -> None:
    await store.enqueue([new(payload='"' + "x" * 60_000 + '"')], {})
    [run] = await claimed(store, ask())

    written = await statements_of(store, store.record([Entry(run.id, run.token, progress=(0.5, "half"))]))

    assert [text for text in written if "UPDATE run" in text] == []
