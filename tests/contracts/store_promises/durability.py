"""What is written outlives the store that wrote it, and other processes see it: promises of durable stores."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest

from kernel.contracts.store import (
    LOG_BYTES,
    Announced,
    BreakerRow,
    Edge,
    Entry,
    KernelRow,
    Look,
    Looked,
    RunLog,
    Store,
)  # fmt: skip
from kernel.model.rate import RateLimit
from kernel.model.run import Change, Run
from tests.contracts.store_promises.samples import (
    KERNEL,
    NO_LIMIT,
    NOW,
    OTHER,
    after,
    ask,
    change,
    claim,
    claim_one,
    ended,
    id_of,
    later,
    line,
    new,
    numbers,
    requeue,
    row,
    see,
    signed_in,
    state_of,
    tick_run,
)  # fmt: skip

Decide = Callable[[KernelRow | None, Sequence[Run]], Sequence[Change]]


class Reopen(Protocol):
    """Closes the store, opens another one in its place, and gives it with what a rescue by its kernel gave back."""

    async def __call__(self, kernel: KernelRow | None, decide: Decide = requeue) -> tuple[Store, list[Run]]: ...


class Durability:
    async def test_every_run_is_there_again_as_it_was(self, store: Store, reopen: Reopen) -> None:
        before = [
            await ended(store, new(1), result='{"n":1}', notes='["a"]'),
            await ended(store, new(2, unique="k", tags=("a", "b")), "failed", error='{"type":"E"}', failures=3),
            await ended(store, tick_run(3, NOW + 0.1, folded=2), "cancelled"),
        ]
        await store.enqueue([new(4), later(5, NOW + 5, expires=NOW + 9), new(6, state="blocked")], NO_LIMIT)
        before += [await see(store, id_of(number)) for number in (4, 5, 6)]

        again, freed = await reopen(OTHER)

        assert freed == []
        assert [await see(again, run.id) for run in before] == before

    async def test_what_a_closed_kernel_had_claimed_is_given_back_by_a_rescue(
        self, store: Store, reopen: Reopen
    ) -> None:
        claimed = await claim_one(store, new(1, due=NOW - 5))
        await store.enqueue([new(2)], NO_LIMIT)

        again, freed = await reopen(OTHER)

        assert freed == [await see(again, id_of(1))]
        assert (freed[0].state, freed[0].due, freed[0].token) == ("queued", NOW - 5, claimed.token)
        assert (freed[0].attempt, freed[0].failures, freed[0].losses) == (1, 0, 1)

    async def test_decide_is_given_the_runs_by_id_and_no_row_of_a_kernel_that_has_ended_in_order(
        self, store: Store, reopen: Reopen
    ) -> None:
        await store.enqueue([new(3), new(2, priority=9), new(1), new(4, priority=9)], NO_LIMIT)
        await claim(store, limit=3)
        given: list[tuple[KernelRow | None, list[Run]]] = []
        before = [await see(store, id_of(number)) for number in (1, 2, 3)]

        def decide(dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
            given.append((dead, list(runs)))
            return []

        again, freed = await reopen(OTHER, decide)

        assert given == [(None, before)]
        assert (freed, await state_of(again, 1, 2, 3)) == (before, ["running"] * 3)

    async def test_a_rescue_may_end_a_run(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, tick_run(1, NOW, unique="k"))
        await store.enqueue([tick_run(2, NOW, state="blocked")], NO_LIMIT)

        again, freed = await reopen(
            OTHER, lambda _dead, _runs: [change(claimed, "failed", at=NOW + 9, reason="lost", losses=5)]
        )

        assert freed == [await see(again, id_of(1))]
        assert (freed[0].state, freed[0].reason, freed[0].losses, freed[0].finished) == ("failed", "lost", 5, NOW + 9)
        assert await state_of(again, 2) == ["queued"]
        assert await again.enqueue([new(3, "fleet.nightly", unique="k")], NO_LIMIT) == [id_of(3)]

    async def test_an_attempt_that_was_lost_with_its_kernel_is_kept_with_what_became_of_those_before(
        self, store: Store, reopen: Reopen
    ) -> None:
        first = await claim_one(store, new(1))
        await store.finish([change(first, "retrying", error='{"type":"E"}', ended=NOW + 1)])
        await claim(store, now=NOW + 2)

        again, _ = await reopen(
            OTHER, lambda _dead, runs: [change(run, "queued", losses=1, ended=NOW + 9, reason="lost") for run in runs]
        )

        assert await again.attempts(id_of(1)) == [
            (1, NOW, NOW + 1, "retrying", '{"type":"E"}', None, KERNEL.id),
            (2, NOW + 2, NOW + 9, "lost", None, "lost", KERNEL.id),
        ]

    async def test_a_rescue_gives_back_once(self, store: Store, reopen: Reopen) -> None:
        await claim_one(store, new(1))

        again, freed = await reopen(OTHER)

        assert numbers(freed) == [1]
        assert await again.rescue(OTHER.id, requeue) == []

    async def test_a_rescue_leaves_the_kernels_own_runs_running(self, store: Store) -> None:
        await claim_one(store, new(1))

        assert await store.rescue(KERNEL.id, requeue) == []
        assert await state_of(store, 1) == ["running"]

    async def test_a_rescue_that_cannot_decide_leaves_everything_as_it_was(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1))
        again, _ = await reopen(OTHER, lambda _dead, _runs: [])

        def decide(_dead: KernelRow | None, _runs: Sequence[Run]) -> list[Change]:
            raise ValueError("undecided")

        with pytest.raises(ValueError, match="undecided"):
            await again.rescue(OTHER.id, decide)

        assert await state_of(again, 1) == ["running"]
        assert (await again.finish([change(claimed)])).written == [True]

    async def test_the_next_claim_of_a_freed_run_has_a_larger_token(self, store: Store, reopen: Reopen) -> None:
        old = await claim_one(store, new(1))

        again, _ = await reopen(OTHER)
        [claimed] = await claim(again)

        assert claimed.token > old.token
        assert (await again.finish([change(old)])).written == [False]
        assert (await again.finish([change(claimed)])).written == [True]

    async def test_a_run_that_has_ended_is_not_freed(self, store: Store, reopen: Reopen) -> None:
        await ended(store, new(1))

        again, freed = await reopen(OTHER)

        assert (freed, await state_of(again, 1)) == ([], ["completed"])

    async def test_a_client_frees_nothing(self, store: Store, reopen: Reopen) -> None:
        await claim_one(store, new(1))

        again, freed = await reopen(None)

        assert (freed, await state_of(again, 1)) == ([], ["running"])

    async def test_a_client_that_opens_beside_a_kernel_frees_nothing(self, store: Store, client: Store) -> None:
        claimed = await claim_one(store, new(1))

        assert await state_of(client, 1) == ["running"]
        assert (await store.finish([change(claimed)])).written == [True]

    async def test_a_freed_run_keeps_its_unique_key_and_is_stuck_no_more(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1, unique="k"))
        await store.stick([claimed.id])

        again, [freed] = await reopen(OTHER)

        assert not freed.stuck
        assert await again.enqueue([new(2, unique="k")], NO_LIMIT) == [id_of(1)]

    async def test_unique_keys_rooms_and_order_hold_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        await store.enqueue([new(1, unique="k"), new(2, due=NOW - 9), later(3, NOW + 9)], NO_LIMIT)

        again, _ = await reopen(OTHER)

        assert await again.enqueue([new(4, unique="k"), new(1)], {"default": 3}) == [id_of(1), id_of(1)]
        assert numbers(await claim(again, now=NOW + 9)) == [2, 1, 3]

    async def test_blocked_runs_are_let_go_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        await claim_one(store, tick_run(1, NOW))
        await store.enqueue([tick_run(2, NOW, state="blocked")], NO_LIMIT)

        again, _ = await reopen(OTHER)
        [claimed] = await claim(again)
        await again.finish([change(claimed)])

        assert await state_of(again, 1, 2) == ["completed", "queued"]

    async def test_schedules_and_their_ledger_are_there_again(self, store: Store, reopen: Reopen) -> None:
        await store.put_schedules([row("a", paused=True), row("nightly")])
        await store.look([Look("nightly", NOW, NOW + 1)], lambda _look, _unfinished: Looked(ticks=[line(NOW)]))

        again, _ = await reopen(OTHER)
        await again.look([Look("nightly", NOW + 1, NOW + 2)], lambda _look, _unfinished: Looked(ticks=[line(NOW + 1)]))

        assert sorted(await again.schedules()) == [row("a", paused=True), row("nightly", looked_until=NOW + 2)]
        assert await again.ticks("nightly", NOW, NOW + 2, 10) == [line(NOW, NOW + 1, 2)]

    async def test_what_was_written_down_is_there_again(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([Entry(claimed.id, claimed.token, ("load", "1"), (0.5, "half"), "a\n")])

        again, [freed] = await reopen(OTHER)
        await again.record([Entry(claimed.id, claimed.token, ("load", "2"))])
        [next_claim] = await claim(again)
        await again.record([Entry(claimed.id, next_claim.token, ("wash", "3"), None, "b\n")])

        assert (freed.progress, freed.progress_text) == (0.5, "half")
        assert await again.steps(id_of(1)) == {"load": "1", "wash": "3"}
        assert await again.log(id_of(1)) == RunLog("a\nb\n", is_cut=False)

    async def test_a_cut_log_is_still_known_to_be_cut(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1))
        await store.record([Entry(claimed.id, claimed.token, log="x" * LOG_BYTES + "\nend\n")])

        again, _ = await reopen(OTHER)

        assert await again.log(id_of(1)) == RunLog("end\n", is_cut=True)

    async def test_a_period_goes_on_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        await ended(store, new(1, unique="k", unique_until=NOW + 60))

        again, _ = await reopen(OTHER)

        answers = [await again.enqueue([new(n, unique="k", enqueued=NOW + n * 20)], NO_LIMIT) for n in (2, 3)]
        assert answers == [[id_of(1)], [id_of(3)]]

    async def test_what_depends_on_others_is_let_go_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        await claim_one(store, new(1))
        await store.enqueue([after(2, 1), after(3, 2), after(4, 1, on_parent_failure="run")], NO_LIMIT)
        edges = await store.edges([id_of(1), id_of(2)])

        again, _ = await reopen(OTHER)
        between = await again.edges([id_of(1), id_of(2)])
        [claimed] = await claim(again)
        finishes = await again.finish([change(claimed, "failed")])

        assert (between, len(edges)) == (edges, 3)
        assert (finishes.freed, [one.id for one in finishes.cancelled]) == (True, [id_of(2), id_of(3)])
        assert await state_of(again, 4) == ["queued"]

    async def test_limits_of_keys_hold_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        limits = {"fleet.sync": 1}
        await store.enqueue([new(number, concurrency_key="a") for number in (1, 2, 3)], NO_LIMIT)
        for _ in range(2):
            await store.claim(ask(key_limits=limits))

        again, freed = await reopen(OTHER)
        got = [numbers((await again.claim(ask(key_limits=limits))).runs) for _ in range(2)]

        assert (numbers(freed), got) == ([1], [[1], []])

    async def test_what_a_limit_of_a_key_held_back_goes_without_it_after_opening_again(
        self, store: Store, reopen: Reopen
    ) -> None:
        await store.enqueue([new(number, concurrency_key="a") for number in (1, 2, 3)], NO_LIMIT)
        for _ in range(2):
            await store.claim(ask(key_limits={"fleet.sync": 1}))

        again, _ = await reopen(OTHER)

        assert numbers(await claim(again)) == [1, 2, 3]

    @pytest.mark.parametrize("kind", ["job_rates", "queue_rates", "key_rates"])
    async def test_rates_hold_after_opening_again(self, store: Store, reopen: Reopen, kind: str) -> None:
        limit = RateLimit(2, 60.0)
        rates: dict[str, Any] = {kind: {"fleet.sync": limit, "default": limit}}
        await store.enqueue([new(number, rate_key="a") for number in range(4)], NO_LIMIT)
        first = await store.claim(ask(**rates))
        await store.finish([change(run) for run in first.runs])

        again, _ = await reopen(OTHER)
        second = await again.claim(ask(now=NOW + 30, **rates))
        third = await again.claim(ask(now=second.next_due or 0.0, **rates))

        assert (second.runs, second.next_due) == ([], first.next_due)
        assert numbers(third.runs) == [2, 3]

    async def test_a_suspect_is_still_one_after_opening_again(self, store: Store, reopen: Reopen) -> None:
        claimed = await claim_one(store, new(1))
        await store.finish([change(claimed, "queued", losses=2)])

        again, _ = await reopen(OTHER)

        assert await claim(again) == []
        assert numbers((await again.claim(ask(suspects=1))).runs) == [1]

    async def test_breakers_are_there_again(self, store: Store, reopen: Reopen) -> None:
        row = BreakerRow("partner-api", 1, "open", NOW, NOW + 60, 2, KERNEL.id, "E")
        await store.put_breaker(row)

        again, _ = await reopen(OTHER)

        assert await again.breakers() == [row]
        assert not await again.put_breaker(row)
        assert await again.put_breaker(row._replace(version=2))

    async def test_pauses_values_and_announcements_are_there_again(self, store: Store, reopen: Reopen) -> None:
        announced = Announced("fleet.sync", "fleet", "default", "{}")
        await store.pause_queue("washing", math.inf)
        await store.put("health", {"a": "1"})
        await store.announce(KERNEL.id, [announced], NOW)

        again, _ = await reopen(None)

        assert [queue.paused_until for queue in await again.queues()] == [math.inf]
        assert await again.get("health") == {"a": "1"}
        assert await again.announced() == [announced]

    async def test_signals_do_not_shrink_when_the_store_is_opened_again(self, store: Store, reopen: Reopen) -> None:
        await store.put_schedules([row()])
        await store.pause_queue("washing", math.inf)
        before = await store.signals()

        again, _ = await reopen(OTHER)

        assert await again.signals() == before

    async def test_a_kernel_that_has_closed_its_store_is_not_alive(self, store: Store, reopen: Reopen) -> None:
        again, _ = await reopen(OTHER)

        assert signed_in(*await again.kernels()) == signed_in(OTHER)

    async def test_calls_made_just_before_closing_are_written(self, store: Store, reopen: Reopen) -> None:
        calls = [asyncio.ensure_future(store.enqueue([new(number)], NO_LIMIT)) for number in range(20)]
        await asyncio.gather(*calls[:1])

        again, _ = await reopen(OTHER)
        await asyncio.gather(*calls)

        assert numbers(await claim(again)) == list(range(20))

    # A kernel that was killed

    async def test_decide_is_given_the_row_of_a_dead_kernel_and_its_runs_by_id(self, bereaved: Store) -> None:
        given: list[tuple[KernelRow | None, list[Run]]] = []
        before = [await see(bereaved, id_of(number)) for number in (1, 2)]

        def decide(dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
            given.append((dead, list(runs)))
            return list(requeue(dead, runs))

        freed = await bereaved.rescue(KERNEL.id, decide)

        [(dead, runs)] = given
        assert dead is not None
        assert (signed_in(dead), runs) == (signed_in(OTHER), before)
        assert [(run.state, run.kernel) for run in before] == [("running", OTHER.id)] * 2
        assert freed == [await see(bereaved, id_of(number)) for number in (1, 2)]
        assert [(run.state, run.losses, run.attempt) for run in freed] == [("queued", 1, 1)] * 2

    async def test_the_row_of_a_dead_kernel_goes_with_its_rescue(self, bereaved: Store) -> None:
        await bereaved.rescue(KERNEL.id, requeue)

        assert signed_in(*await bereaved.kernels()) == signed_in(KERNEL)
        assert await bereaved.rescue(KERNEL.id, requeue) == []

    async def test_a_dead_kernel_is_a_member_that_is_not_alive_until_its_runs_are_taken_up(
        self, bereaved: Store
    ) -> None:
        before = {one.kernel.id: one[1:] for one in await bereaved.members()}

        await bereaved.rescue(KERNEL.id, requeue)

        assert before == {KERNEL.id: (True, 0), OTHER.id: (False, 2)}
        assert [one.kernel.id for one in await bereaved.members()] == [KERNEL.id]

    async def test_what_a_dead_kernel_had_claimed_is_claimed_again_and_the_rest_was_left_alone(
        self, bereaved: Store
    ) -> None:
        before = await state_of(bereaved, 1, 2, 3, 4)

        await bereaved.rescue(KERNEL.id, requeue)

        assert before == ["running", "running", "queued", "blocked"]
        got = await claim(bereaved, now=NOW + 1)
        assert [(run.id, run.token, run.attempt, run.losses) for run in got] == [
            (id_of(1), 2, 2, 1), (id_of(2), 2, 2, 1), (id_of(3), 1, 1, 0),
        ]  # fmt: skip

    async def test_what_a_dead_kernel_wrote_down_is_there(self, bereaved: Store) -> None:
        freed = await bereaved.rescue(KERNEL.id, requeue)

        assert [(run.progress, run.progress_text) for run in freed] == [(0.5, "half")] * 2
        assert await bereaved.steps(id_of(2)) == {"load": "1"}
        assert await bereaved.log(id_of(2)) == RunLog("a\n", is_cut=False)

    @pytest.mark.parametrize(("state", "child"), [("failed", "cancelled"), ("completed", "queued")])
    async def test_a_run_that_a_rescue_ends_takes_along_or_frees_what_depends_on_it(
        self, bereaved: Store, state: str, child: str
    ) -> None:
        def decide(dead: KernelRow | None, runs: Sequence[Run]) -> list[Change]:
            return [change(runs[0], state, losses=5), *requeue(dead, runs[1:])]

        freed = await bereaved.rescue(KERNEL.id, decide)

        # Behind the dead one's runs stands what was cancelled with them.
        assert [(run.id, run.state) for run in freed[:2]] == [(id_of(1), state), (id_of(2), "queued")]
        assert freed[2:] == ([await see(bereaved, id_of(4))] if child == "cancelled" else [])
        assert await state_of(bereaved, 1, 2, 4) == [state, "queued", child]

    # Other processes

    async def test_a_client_sees_what_a_kernel_wrote_and_the_other_way_round(self, store: Store, client: Store) -> None:
        await client.enqueue([new(1)], NO_LIMIT)
        [claimed] = await claim(store)
        await store.finish([change(claimed, result="1")])

        assert (await see(client, id_of(1))).result == 1
        assert signed_in(*await client.kernels()) == signed_in(KERNEL)
        assert [one[1:] for one in await client.members()] == [(True, 0)]

    async def test_a_kernel_is_told_when_a_client_has_changed_the_store(self, store: Store, client: Store) -> None:
        told = asyncio.Event()
        store.on_change(told.set)

        await client.enqueue([new(1)], NO_LIMIT)

        await asyncio.wait_for(told.wait(), 10)
        assert numbers(await claim(store)) == [1]

    async def test_a_clients_wish_to_cancel_reaches_the_kernel(self, store: Store, client: Store) -> None:
        claimed = await claim_one(store, new(1))
        before = await store.signals()
        told = asyncio.Event()
        store.on_change(told.set)

        await client.cancel([id_of(1)], "no longer needed", NOW)

        await asyncio.wait_for(told.wait(), 10)
        assert (await store.signals()).cancels > before.cancels
        assert await store.cancels(KERNEL.id) == [(id_of(1), claimed.token, "no longer needed")]

    async def test_a_breaker_that_a_client_closes_reaches_the_kernel(self, store: Store, client: Store) -> None:
        await store.put_breaker(BreakerRow("partner-api", 1, "open", NOW))
        before = await store.signals()
        told = asyncio.Event()
        store.on_change(told.set)

        written = await client.put_breaker(BreakerRow("partner-api", 2, "closed"))

        await asyncio.wait_for(told.wait(), 10)
        assert written
        assert (await store.signals()).breakers > before.breakers
        assert not await store.put_breaker(BreakerRow("partner-api", 2, "half_open"))

    async def test_a_client_reads_what_a_running_run_has_written_down(self, store: Store, client: Store) -> None:
        claimed = await claim_one(store, new(1))
        await store.enqueue([after(2, 1)], NO_LIMIT)
        await store.record([Entry(claimed.id, claimed.token, ("load", "1"), (0.5, "half"), "a\n")])

        assert await client.steps(id_of(1)) == {"load": "1"}
        assert await client.log(id_of(1)) == RunLog("a\n", is_cut=False)
        assert (await see(client, id_of(1))).progress_text == "half"
        assert await client.edges([id_of(2)]) == [Edge(id_of(2), id_of(1), True, "cancel")]

    async def test_a_kernel_that_looks_while_another_store_has_looked_does_nothing(
        self, store: Store, client: Store
    ) -> None:
        await store.put_schedules([row()])
        look = Look("nightly", NOW, NOW + 60)

        answers = await asyncio.gather(
            *(one.look([look], lambda _look, _unfinished: Looked(runs=[tick_run(1, NOW)])) for one in (store, client))
        )

        assert sorted(answer is None for [answer] in answers) == [False, True]
        assert len(await claim(store)) == 1
