"""Random histories: whatever is done in whatever order, a store stands where the plain one stands."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kernel.contracts.store import Ended, Look, Looked, RunQuery, Store, Unfinished
from kernel.model.errors import RequestError, StoreFullError
from kernel.model.job import Keep
from kernel.model.run import FINAL, Change, Claimed, NewRun, Run, RunExtra, Terms, urgency_of
from tests.contracts.store_promises.plain_store import (
    CANCELLED_WITH_PARENT,
    UNFINISHED,
    FullError,
    PlainStore,
    UnknownParentError,
)  # fmt: skip
from tests.contracts.store_promises.samples import KERNEL, NOW, OTHER, ask, id_of, requeue, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

JOBS = ["fleet.sync", "fleet.wash"]
QUEUES = ["default", "washing"]
SCHEDULES = ["hourly", "nightly"]

UNKNOWN = 999_999
WITHIN = 30.0

few = st.integers(0, 4)
seconds = st.sampled_from([0.0, 1.0, 5.0, 20.0])
rooms = st.dictionaries(st.sampled_from(QUEUES), few)
picks = st.lists(st.integers(0, 1000), min_size=1, max_size=4)
one_in_four = st.sampled_from([True, False, False, False])
conflicts = st.sampled_from(["replace", "keep"])
parents = st.sampled_from([(0,), (1, 0), (2,), (3, 1, 2), (4, 6)])
"""Which of the newest runs a run depends on."""
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
        "key": st.sampled_from(["a", None, "b"]),
        "within": st.sampled_from([None, WITHIN]),
        "on_conflict": conflicts,
        "parents": st.one_of(st.just(()), parents),
        "on_failure": st.sampled_from(["cancel", "run"]),
    }
)
batches = st.lists(specs, min_size=2, max_size=6, unique_by=lambda spec: spec["number"])
outcomes = st.sampled_from(["completed", "failed", "cancelled", "retrying", "scheduled", "queued", "lost"])
key_limits = st.sampled_from([{"fleet.sync": 1, "fleet.wash": 1}, {}, {"fleet.sync": 2, "fleet.wash": 1}])
suspects = st.integers(0, 2)


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
        self.first = 0
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
        if any(run.terms is not None for run in runs):
            room = {}
        expected: list[str] | type[Exception]
        try:
            expected = self.plain.enqueue(runs, room)
        except FullError:
            expected = StoreFullError
        except UnknownParentError:
            expected = RequestError
        answer: list[str] | type[Exception]
        try:
            answer = self.runner.run(self.store.enqueue(runs, room))
        except (StoreFullError, RequestError) as error:
            answer = type(error)
        assert answer == expected, (answer, expected)

    @rule(batch=batches, parents=parents)
    def enqueue_dependents(self, batch: Sequence[dict[str, Any]], parents: Sequence[int]) -> None:
        self.enqueue([{**spec, "wait": 0.0, "expires": None, "parents": parents} for spec in batch], {})

    @rule(batch=batches, unique=st.sampled_from(["a", "b"]), on_conflict=conflicts)
    def enqueue_of_one_key(self, batch: Sequence[dict[str, Any]], unique: str, on_conflict: str) -> None:
        of_key = {"parents": (), "expires": None, "job": JOBS[0], "unique": unique, "on_conflict": on_conflict}
        self.enqueue([{**spec, **of_key} for spec in batch], {})

    @rule(outcomes=st.lists(outcomes, min_size=3, max_size=8), wait=seconds, key_limits=key_limits)
    def claim_and_finish(self, outcomes: list[str], wait: float, key_limits: dict[str, int]) -> None:
        self._claim(jobs=dict.fromkeys(JOBS, 100), limit=len(outcomes), key_limits=key_limits, suspects=1)
        self.finish_the_latest(outcomes, wait)

    @rule(rooms=st.tuples(few, few), without=st.sampled_from([*JOBS, *QUEUES]), queues=rooms, limit=st.integers(1, 5))
    def claim_some(self, rooms: tuple[int, int], without: str, queues: dict[str, int], limit: int) -> None:
        jobs = {job: room for job, room in zip(JOBS, rooms, strict=True) if job != without}
        self._claim(jobs=jobs, queues=queues, limit=limit)

    @rule(wait=seconds, key_limits=key_limits, suspects=suspects)
    def claim_all_later(self, wait: float, key_limits: dict[str, int], suspects: int) -> None:
        self.now += wait
        self._claim(jobs=dict.fromkeys(JOBS, 100), limit=100, key_limits=key_limits, suspects=suspects)

    @rule(queues=rooms, limit=st.integers(1, 5), key_limits=key_limits, suspects=suspects)
    def claim_by_key(self, queues: dict[str, int], limit: int, key_limits: dict[str, int], suspects: int) -> None:
        jobs = dict.fromkeys(JOBS, 3)
        self._claim(jobs=jobs, queues=queues, limit=limit, key_limits=key_limits, suspects=suspects)

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
        told = self.plain.cancel(ids, "enough", self.now)
        assert [(one.id, one.before, one.after) for one in answer[: len(told)]] == told
        self._compare_cancelled(answer[len(told) :])

    @rule(picks=picks)
    def retry(self, picks: list[int]) -> None:
        ids = self._ids(picks, FINAL)
        answer = self.runner.run(self.store.retry(ids, self.now))
        assert [(one.id, one.before, one.after, one.held_by) for one in answer] == self.plain.retry(ids, self.now)

    @rule(kernel=st.sampled_from([KERNEL.id, "another"]), this_time=one_in_four)
    def release(self, kernel: str, *, this_time: bool) -> None:
        if this_time:
            freed = self.runner.run(self.store.release(kernel))
            assert sorted(run.id for run in freed) == sorted(self.plain.release(kernel))

    @rule(this_time=one_in_four)
    def prune(self, *, this_time: bool) -> None:
        if this_time:
            # While a run that has ended has its unique key, a store may keep it longer than it must.
            self.now += 2 * WITHIN
            gone = self.runner.run(self.store.prune({}, Keep(count=0), NOW, self.now, 1000))
            assert gone == self.plain.prune()
            # No caller makes an id twice.
            self.first += 20

    @rule(this_time=one_in_four)
    def open_again_if_durable(self, *, this_time: bool) -> None:
        if self.durable and this_time:
            self.runner.run(self.store.close())
            self.store = self.make_store(self.place)
            self.runner.run(self.store.open(OTHER))
            freed = self.runner.run(self.store.rescue(OTHER.id, requeue))
            assert sorted(run.id for run in freed) == sorted(self.plain.rescue(OTHER.id, requeue))

    @rule(
        schedules=st.lists(st.sampled_from(SCHEDULES), max_size=3),
        spec=specs,
        cancels=st.booleans(),
        late=st.booleans(),
    )
    def look(self, schedules: list[str], spec: dict[str, Any], *, cancels: bool, late: bool) -> None:
        plain = {**spec, "unique": None, "parents": ()}
        runs = [self._run(**{**plain, "number": spec["number"] + n}) for n in range(3)]

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
            runs = [self._with_plain_reason(run) for run in runs]
            assert [(run, self.plain.runs[run.id]) for run in runs if run != self.plain.runs[run.id]] == []
            assert sorted(self.runner.run(self.store.queues())) == self.plain.queues()

    def _run(
        self, *, number: int, job: str, queue: str, priority: int, wait: float, unique: str | None,
        expires: float | None, schedule: str | None, blocked: bool, key: str | None, within: float | None,
        on_conflict: str, parents: Sequence[int], on_failure: str,
    ) -> NewRun:  # fmt: skip
        due = self.now + wait
        # Mostly on runs that are there: an unknown parent undoes the whole batch.
        known = sorted(self.plain.runs)
        depends_on = tuple(known[-1 - parent] if parent < len(known) else id_of(UNKNOWN) for parent in parents)
        if depends_on:
            unique = schedule = None
        state = "blocked" if depends_on or (blocked and schedule) else "scheduled" if wait > 0 else "queued"
        extra = RunExtra(
            None if expires is None else self.now + expires, unique, (), schedule, due if schedule else None, 0, key
        )
        terms = Terms(
            None if within is None or unique is None else self.now + within, on_conflict if unique else "keep",
            depends_on, on_failure if depends_on else "cancel",
        )  # fmt: skip
        return NewRun(
            id_of(self.first + number), job, queue, priority, f'{{"at":{self.now}}}', state, self.now, due,
            urgency_of(due, priority), None if extra == RunExtra() else extra, None if terms == Terms() else terms,
        )  # fmt: skip

    def _with_plain_reason(self, run: Run) -> Run:
        """Each store says in its own words why it was cancelled with a parent; that it names."""
        if self.plain.runs[run.id].reason != CANCELLED_WITH_PARENT:
            return run
        named = [edge.parent for edge in self.runner.run(self.store.edges([run.id])) if edge.parent in str(run.reason)]
        return run._replace(reason=CANCELLED_WITH_PARENT) if named else run

    def _compare_cancelled(self, cancelled: Sequence[Ended]) -> None:
        assert {(one.before, one.after) for one in cancelled} <= {("blocked", "cancelled")}
        assert sorted(one.id for one in cancelled) == sorted(self.plain.cancelled)

    def _ids(self, picks: list[int], states: Iterable[str]) -> list[str]:
        """Some runs, mostly of these states, and an unknown one."""
        of_state = sorted(run.id for run in self.plain.runs.values() if run.state in states)
        among = [*of_state, *of_state, *sorted(self.plain.runs), id_of(UNKNOWN)]
        return list(dict.fromkeys(among[pick % len(among)] for pick in picks))

    def _claim(self, **options: Any) -> None:
        claim = ask(now=self.now, **options)
        got = self.runner.run(self.store.claim(claim))
        claimed, next_due, expired = self.plain.claim(claim)
        assert [run.id for run in got.runs] == claimed
        assert [run.token for run in got.runs] == [self.plain.runs[run_id].token for run_id in claimed]
        assert got.next_due == next_due
        assert sorted(run.id for run in got.expired) == sorted(expired)
        self._compare_cancelled(got.cancelled)
        self.claimed += got.runs

    def _finish(self, changes: list[Change]) -> None:
        finishes = self.runner.run(self.store.finish(changes))
        assert finishes.written == self.plain.finish(changes)
        assert finishes.freed == self.plain.freed
        self._compare_cancelled(finishes.cancelled)

    def _change(self, run: Claimed, state: str, wait: float) -> Change:
        losses = 2 if state == "lost" else 0
        state = "queued" if state == "lost" else state
        final = state in FINAL
        due = self.now + wait if state in ("retrying", "scheduled") else run.due
        return Change(
            run.id, run.token, state, due, urgency_of(due, run.priority), run.attempt, run.failures + 1,
            self.now if final else None, "1" if state == "completed" else None,
            '{"type":"E"}' if state in ("failed", "retrying") else None, "why" if state == "cancelled" else None,
            None, run.extra.schedule if run.extra else None, losses,
        )  # fmt: skip


class Histories:
    durable: ClassVar[bool]

    histories: ClassVar[tuple[int, int]] = (50, 45)
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
