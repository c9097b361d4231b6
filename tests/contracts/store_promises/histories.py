"""Random histories: whatever is done in whatever order, a store stands where the plain one stands."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kernel.contracts.store import Look, Looked, RunQuery, Store, Unfinished
from kernel.model.errors import StoreFullError
from kernel.model.job import Keep
from kernel.model.run import FINAL, Change, Claimed, NewRun, RunExtra, urgency_of
from tests.contracts.store_promises.plain_store import UNFINISHED, FullError, PlainStore
from tests.contracts.store_promises.samples import KERNEL, NOW, ask, id_of, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

JOBS = ["fleet.sync", "fleet.wash"]
QUEUES = ["default", "washing"]
SCHEDULES = ["hourly", "nightly"]

few = st.integers(0, 4)
seconds = st.sampled_from([0.0, 1.0, 5.0, 20.0])
rooms = st.dictionaries(st.sampled_from(QUEUES), few)
picks = st.lists(st.integers(0, 1000), min_size=1, max_size=4)
one_in_four = st.sampled_from([True, False, False, False])
specs = st.fixed_dictionaries(
    {
        "number": st.integers(0, 19),
        "job": st.sampled_from(JOBS),
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([5, 0]),
        "wait": st.sampled_from([0.0, -3.0, -2.0, 4.0, 15.0]),
        "unique": st.sampled_from([None, "a", None, "b"]),
        "expires": st.sampled_from([None, 2.0, None, 30.0]),
        "schedule": st.sampled_from([None, *SCHEDULES]),
        "blocked": st.booleans(),
    }
)
batches = st.lists(specs, min_size=2, max_size=6, unique_by=lambda spec: spec["number"])
outcomes = st.sampled_from(["completed", "failed", "cancelled", "retrying", "scheduled", "queued"])


class History(RuleBasedStateMachine):
    """Does the same to a store and to the plain one, and compares what they answer and what they hold."""

    make_store: Callable[[str], Store]
    durable: bool
    places = count()

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.place = f"history-{next(self.places)}"
        self.store = self.make_store(self.place)
        self.now = NOW
        self.claimed: list[Claimed] = []
        self.plain = PlainStore(dict.fromkeys(SCHEDULES, NOW))
        self.runner.run(self.store.open(KERNEL))
        self.runner.run(self.store.put_schedules([row(name) for name in SCHEDULES]))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.store.close())
            self.runner.close()

    @rule(batch=batches, room=rooms)
    def enqueue(self, batch: Sequence[dict[str, Any]], room: dict[str, int]) -> None:
        runs = [self._run(**spec) for spec in batch]
        room = {queue: 2 + 3 * many for queue, many in room.items()}
        try:
            expected: list[str] | None = self.plain.enqueue(runs, room)
        except FullError:
            expected = None
        try:
            assert self.runner.run(self.store.enqueue(runs, room)) == expected
        except StoreFullError:
            assert expected is None

    @rule(rooms=st.tuples(few, few), without=st.sampled_from([*JOBS, *QUEUES]), queues=rooms, limit=st.integers(1, 5))
    def claim_some(self, rooms: tuple[int, int], without: str, queues: dict[str, int], limit: int) -> None:
        jobs = {job: room for job, room in zip(JOBS, rooms, strict=True) if job != without}
        self._claim(jobs=jobs, queues=queues, limit=limit)

    @rule(wait=seconds)
    def claim_all_later(self, wait: float) -> None:
        self.now += wait
        self._claim(jobs=dict.fromkeys(JOBS, 100), limit=100)

    @rule(priority=st.sampled_from([0, 5]))
    def claim_the_urgent(self, priority: int) -> None:
        self._claim(jobs=dict.fromkeys(JOBS, 3), limit=4, before=urgency_of(self.now, priority))

    @rule(outcomes=st.lists(outcomes, min_size=2, max_size=6), wait=seconds)
    def finish_the_latest(self, outcomes: list[str], wait: float) -> None:
        latest = self.claimed[-len(outcomes) :]
        self._finish([self._change(run, state, wait) for run, state in zip(latest, outcomes, strict=False)])

    @rule(picks=picks, outcome=outcomes)
    def finish_any_even_stale(self, picks: list[int], outcome: str) -> None:
        if self.claimed:
            self._finish([self._change(self.claimed[pick % len(self.claimed)], outcome, 1.0) for pick in picks])

    @rule(picks=picks)
    def cancel(self, picks: list[int]) -> None:
        ids = self._ids(picks, UNFINISHED)
        answer = self.runner.run(self.store.cancel(ids, "enough", self.now))
        assert [(one.id, one.before, one.after) for one in answer] == self.plain.cancel(ids, "enough", self.now)

    @rule(picks=picks)
    def retry(self, picks: list[int]) -> None:
        ids = self._ids(picks, FINAL)
        answer = self.runner.run(self.store.retry(ids, self.now))
        assert [(one.id, one.before, one.after) for one in answer] == self.plain.retry(ids, self.now)

    @rule(kernel=st.sampled_from([KERNEL.id, "another"]), this_time=one_in_four)
    def release(self, kernel: str, *, this_time: bool) -> None:
        if this_time:
            freed = self.runner.run(self.store.release(kernel))
            assert sorted(run.id for run in freed) == sorted(self.plain.release(kernel))

    @rule(this_time=one_in_four)
    def prune(self, *, this_time: bool) -> None:
        if this_time:
            gone = self.runner.run(self.store.prune({}, Keep(count=0), NOW, self.now, 1000))
            assert gone == self.plain.prune()

    @rule(this_time=one_in_four)
    def open_again_if_durable(self, *, this_time: bool) -> None:
        if self.durable and this_time:
            self.runner.run(self.store.close())
            self.store = self.make_store(self.place)
            freed = self.runner.run(self.store.open(KERNEL))
            assert sorted(run.id for run in freed) == sorted(self.plain.release(KERNEL.id))

    @rule(
        schedules=st.lists(st.sampled_from(SCHEDULES), max_size=3),
        spec=specs,
        cancels=st.booleans(),
        late=st.booleans(),
    )
    def look(self, schedules: list[str], spec: dict[str, Any], *, cancels: bool, late: bool) -> None:
        runs = [self._run(**{**spec, "number": spec["number"] + n, "unique": None}) for n in range(3)]

        def decide(look: Look, unfinished: Sequence[Unfinished]) -> Looked:
            assert look.schedule in SCHEDULES
            extra = RunExtra(schedule=look.schedule, tick=look.until)
            mine = [run._replace(extra=extra) for run in runs]
            return Looked(mine, (), [run_id for run_id, _ in unfinished] if cancels else (), "replaced")

        looks = []
        for name in schedules:
            expected = self.plain.looked_until[name] - (1.0 if late else 0.0)
            looks.append(Look(name, expected, max(expected, self.now) + 1.0))
        assert self.runner.run(self.store.look(looks, decide)) == self.plain.look(looks, decide)

    @invariant()
    def both_hold_the_same(self) -> None:
        if hasattr(self, "store"):
            runs = self.runner.run(self.store.runs(RunQuery(limit=1000)))
            assert [run.id for run in runs] == sorted(self.plain.runs, reverse=True)
            assert [(run, self.plain.runs[run.id]) for run in runs if run != self.plain.runs[run.id]] == []
            assert sorted(self.runner.run(self.store.queues())) == self.plain.queues()

    def _run(
        self, *, number: int, job: str, queue: str, priority: int, wait: float, unique: str | None,
        expires: float | None, schedule: str | None, blocked: bool,
    ) -> NewRun:  # fmt: skip
        due = self.now + wait
        state = "blocked" if blocked and schedule else "scheduled" if wait > 0 else "queued"
        extra = RunExtra(
            None if expires is None else self.now + expires, unique, (), schedule, due if schedule else None
        )
        return NewRun(
            id_of(number), job, queue, priority, "{}", state, self.now, due, urgency_of(due, priority),
            None if extra == RunExtra() else extra,
        )  # fmt: skip

    def _ids(self, picks: list[int], states: Iterable[str]) -> list[str]:
        """Some runs, mostly of these states, and an unknown one."""
        of_state = sorted(run.id for run in self.plain.runs.values() if run.state in states)
        among = [*of_state, *of_state, *sorted(self.plain.runs), id_of(99)]
        return list(dict.fromkeys(among[pick % len(among)] for pick in picks))

    def _claim(self, **options: Any) -> None:
        claim = ask(now=self.now, **options)
        got = self.runner.run(self.store.claim(claim))
        claimed, next_due, expired = self.plain.claim(claim)
        assert [run.id for run in got.runs] == claimed
        assert [run.token for run in got.runs] == [self.plain.runs[run_id].token for run_id in claimed]
        assert got.next_due == next_due
        assert sorted(run.id for run in got.expired) == sorted(expired)
        self.claimed += got.runs

    def _finish(self, changes: list[Change]) -> None:
        assert self.runner.run(self.store.finish(changes)) == self.plain.finish(changes)

    def _change(self, run: Claimed, state: str, wait: float) -> Change:
        final = state in FINAL
        due = self.now + wait if state in ("retrying", "scheduled") else run.due
        return Change(
            run.id, run.token, state, due, urgency_of(due, run.priority), run.attempt, run.failures + 1,
            self.now if final else None, "1" if state == "completed" else None,
            '{"type":"E"}' if state in ("failed", "retrying") else None, "why" if state == "cancelled" else None,
            None, run.extra.schedule if run.extra else None,
        )  # fmt: skip


class Histories:
    durable: ClassVar[bool]

    histories: ClassVar[tuple[int, int]] = (60, 40)
    """How many random histories, and of how many steps."""

    phases: ClassVar[tuple[Phase, ...]] = (Phase.generate,)
    """With ``Phase.shrink`` a history that goes wrong is made as short as can be, which may take minutes."""

    def test_whatever_is_done_the_store_stands_where_the_plain_one_stands(
        self, make_store: Callable[[str], Store]
    ) -> None:
        machine = type(
            "HistoryOfThisStore", (History,), {"make_store": staticmethod(make_store), "durable": self.durable}
        )
        examples, steps = self.histories

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples, stateful_step_count=steps, phases=self.phases, derandomize=True, deadline=None,
                database=None, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
