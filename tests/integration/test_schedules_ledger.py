"""Due ticks are the sum of the ledger's results, whatever befalls the kernel, its clock and its loop.

What is due is told apart by each schedule's own rule, listed here anew: ``every`` by elapsed time, cron by a reference
that lists a day's wall times.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from kernel import Context  # noqa: TC001 - the annotation of the job is read
from kernel.contracts.clock import sleep
from kernel.testing import FakeClock
from plugins.memory.store import MemoryStore
from tests.flow_kit import Flow, cron, every, job_of
from tests.unit.model.cron_reference import due_between

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel.contracts.store import Look, Looked, Unfinished
    from kernel.model.job import Job
    from kernel.model.schedule import Schedule, Tick

BERLIN = "Europe/Berlin"
EITHER = "either"
LONG_SECONDS = 60.0
"""More than this is not lived through second by second: the machine sleeps for most of it."""
FURTHEST_BACK_SECONDS = 9000.0
"""Set back by more than three hours, instants may come again: semantics that are told elsewhere."""


class Kind(NamedTuple):
    """A schedule's grid: seconds of ``every``, or a cron expression of a zone; ``gap`` is about one of its gaps."""

    spec: float | str
    gap: float
    zone: str = "UTC"
    begin: str = "2026-01-01T00:00:00Z"


KINDS = (
    Kind(1.0, 1.0),
    Kind(2.5, 2.5),
    Kind(60.0, 60.0),
    Kind(4000.0, 4000.0),
    Kind("*/5 * * * * *", 5.0),
    Kind("*/2 * * * *", 120.0),
    Kind("*/20 * * * *", 1200.0, BERLIN, "2026-03-28T23:30:00Z"),
    Kind("*/20 * * * *", 1200.0, BERLIN, "2026-10-24T22:30:00Z"),
    Kind("30 2 * * *", 86_400.0, BERLIN, "2026-03-27T12:00:00Z"),
    Kind("30 2 * * *", 86_400.0, BERLIN, "2026-10-23T12:00:00Z"),
)


class Case(NamedTuple):
    kind: Kind
    catch_up: str
    catch_up_max: int
    window_gaps: float | None
    overlap: str
    job_gaps: float
    """How long the job takes."""
    events: list[tuple[str, float]]

    def schedule(self) -> Schedule:
        options: dict[str, Any] = {
            "catch_up": self.catch_up,
            "catch_up_max": self.catch_up_max,
            "overlap": self.overlap,
            "catch_up_window": None if self.window_gaps is None else self.window_gaps * self.kind.gap,
        }
        if isinstance(self.kind.spec, str):
            return cron(self.kind.spec, timezone=self.kind.zone, **options)
        return every(self.kind.spec, **options)


gaps = st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0, 7.3])
events = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["pass", "pass", "block", "down"]), gaps),
        st.tuples(st.just("step"), st.sampled_from([0.7, 10.0, 601.0, 3600.0, -0.7, -10.0, -601.0, -3600.0])),
        st.tuples(
            st.sampled_from(["pause", "resume", "pause elsewhere", "resume elsewhere", "off", "on"]), st.just(0.0)
        ),
    ),
    min_size=1,
    max_size=8,
)
cases = st.builds(
    Case,
    kind=st.sampled_from(KINDS),
    catch_up=st.sampled_from(["skip", "latest", "all"]),
    catch_up_max=st.integers(1, 4),
    window_gaps=st.none() | st.sampled_from([0.5, 2.0, 5.0]),
    overlap=st.sampled_from(["skip", "queue", "allow", "replace"]),
    job_gaps=st.sampled_from([0.0, 0.0, 0.4, 2.5]),
    events=events,
)


class CountingStore(MemoryStore):
    """Remembers the most runs that one look made, and forgets nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.most_at_once = 0

    async def look(
        self, looks: Sequence[Look], decide: Callable[[Look, Sequence[Unfinished]], Looked]
    ) -> list[Looked | None]:
        found = await super().look(looks, decide)
        self.most_at_once = max([self.most_at_once, *(len(one.runs) for one in found if one is not None)])
        return found

    async def prune(self, *_given: Any) -> int:
        return 0


class Stretch(NamedTuple):
    """Elapsed time (after, until] with the wall clock so far ahead of it, and what holds for ticks in it."""

    after: float
    until: float
    offset: float
    state: str


class Life:
    """Lives through a case, and keeps its own account of time."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.clock = FakeClock(datetime.fromisoformat(case.kind.begin).timestamp())
        self.store = CountingStore()
        self.begin = (self.clock.now(), self.clock.elapsed())
        self.stretches: list[Stretch] = []
        self.covered = [(self.clock.now(), "on")]
        """Wall clock readings that were reached for the first time, and what held on the way there."""
        self.is_paused = self.is_off = self.was_set_back = False
        self.now = self.most = 0

    async def live(self) -> None:
        self.flow = await self._start()
        for name, amount in self.case.events:
            if name == "down":
                await self._account(self.flow.stop())
                self.is_off = False  # a kernel that starts has the plugin on; what nobody has looked at goes by that
                await self._account(self._stay_down(amount * self.case.kind.gap))
            else:
                await self._account(self._doing(name, amount))
        await self._account(self._doing("on", 0.0))
        await self._account(self._doing("resume", 0.0))
        await self._account(self._doing("pass", 1.2137))
        await self.flow.stop()

    async def _start(self) -> Flow:
        flow = Flow([self._job()], [self.case.schedule()], store=self.store, clock=self.clock, listen=False)
        await flow.start()
        await flow.quiet()
        return flow

    def _job(self) -> Job:
        async def work(ctx: Context) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                if self.case.job_gaps:
                    await sleep(self.clock, self.case.job_gaps * self.case.kind.gap)
            finally:
                self.now -= 1

        return job_of(work, timeout=None)

    async def _account(self, doing: Any) -> None:
        """Lives through something, with what held before it, and writes the time down."""
        state = "disabled" if self.is_off else "paused" if self.is_paused else "on"
        after, offset = self.clock.elapsed(), self.clock.now() - self.clock.elapsed()
        await doing
        await self.flow.quiet()
        until, stepped = self.clock.elapsed(), self.clock.now() - self.clock.elapsed()
        if abs(stepped - offset) > 0.01:
            # The clock is set first of all, and time passes then.
            self.was_set_back |= stepped < offset
            offset = stepped
        self.stretches.append(Stretch(after, until, offset, state))
        if self.clock.now() > self.covered[-1][0]:
            self.covered.append((self.clock.now(), state))

    async def _doing(self, name: str, amount: float) -> None:
        length = amount * self.case.kind.gap
        match name:
            case "pass":
                await self._pass(length)
            case "block":
                self.clock.skip(length)
                await self.clock.advance(1.1)
            case "step":
                await self._step(amount)
            case "off" | "on":
                await self._switch(off=name == "off")
            case _:
                await self._pause(name.startswith("pause"), elsewhere="elsewhere" in name)

    async def _pass(self, seconds: float) -> None:
        if seconds > LONG_SECONDS:
            self.clock.skip(seconds - 5)
            await self.clock.advance(0)
            await self.flow.quiet()
            seconds = 5
        await self.clock.advance(seconds)

    async def _stay_down(self, seconds: float) -> None:
        self.clock.skip(seconds)
        self.flow = await self._start()

    async def _step(self, seconds: float) -> None:
        if self.covered[-1][0] - self.clock.now() - seconds < FURTHEST_BACK_SECONDS:
            self.clock.step(seconds)
        await self.clock.advance(1.1)

    async def _pause(self, paused: bool, *, elsewhere: bool) -> None:
        if elsewhere:
            await self.store.pause_schedule("demo.work", paused)
            await self.flow.engine.watch.refresh()
        elif paused:
            await self.flow.engine.scheduler.pause("demo.work")
        else:
            await self.flow.engine.scheduler.resume("demo.work")
        self.is_paused = paused

    async def _switch(self, *, off: bool) -> None:
        if off and not self.is_off:
            await self.flow.engine.scheduler.look(plugin="demo")
            draining = asyncio.create_task(self.flow.engine.drain_plugin("demo", 0.0))
            await self.flow.quiet()
            while not draining.done():
                await self.clock.advance(0.01)
                await asyncio.sleep(0.02)
            await draining
            await self.flow.engine.scheduler.refresh()
        elif self.is_off and not off:
            self.flow.catalog.add([self._job()])
            await self.flow.engine.scheduler.declare("demo", [self.case.schedule()])
            await self.flow.engine.scheduler.refresh()
            self.flow.engine.claimer.wake()
        self.is_off = off

    # What should have come of it

    def due(self, looked_until: float) -> list[tuple[float, str]]:
        """Each due tick and what held at it (EITHER, at the very moment of a change), in the order in which they came."""
        if isinstance(self.case.kind.spec, str):
            return self._due_by_cron(self.case.kind.spec, looked_until)
        return self._due_by_grid(self.case.kind.spec)

    def _due_by_grid(self, interval: float) -> list[tuple[float, str]]:
        found = []
        step = 1
        for stretch in self.stretches:
            while (at := self.begin[1] + step * interval) <= stretch.until + 1e-6:
                found.append((at + stretch.offset, _state_at(at, stretch.until, stretch.state)))
                step += 1
        return found

    def _due_by_cron(self, spec: str, looked_until: float) -> list[tuple[float, str]]:
        zone = ZoneInfo(self.case.kind.zone)
        found = []
        for (after, _), (until, state) in zip(self.covered, self.covered[1:], strict=False):
            found += [(float(tick), _state_at(tick, until, state)) for tick in due_between(spec, zone, after, until)]
        end = max(looked_until, self.clock.now())
        return [(tick, state) for tick, state in found if tick <= end]


def _state_at(tick: float, until: float, state: str) -> str:
    return EITHER if abs(tick - until) < 1e-3 else state


def check(life: Life, lines: list[Tick], looked_until: float, runs: list[Any]) -> None:
    case = life.case
    due = life.due(looked_until)
    is_cron = isinstance(case.kind.spec, str)

    told = [(line, line.count) for line in lines]
    assert sum(count for _, count in told) == len(due)
    at = 0
    for line, count in told:
        mine = due[at : at + count]
        at += count
        # At the very moment of a change a tick may go by either clock; and set back in its midst, a line ends anywhere.
        if mine[0][1] != EITHER:
            assert line.first == pytest.approx(mine[0][0], abs=1e-3)
        if mine[-1][1] != EITHER and (is_cron or count == 1):
            assert line.last == pytest.approx(mine[-1][0], abs=1e-3)
        if not (is_cron and life.was_set_back):
            expected = {state for _, state in mine} - {EITHER}
            assert expected <= ({line.result} if line.result in ("paused", "disabled") else {"on"})
    if is_cron:
        assert len({tick for tick, _ in due}) == len(due)
        assert [line.first for line in lines] == sorted({line.first for line in lines})

    of_lines = [(line.run, line.first) for line in lines if line.run is not None]
    assert sorted(of_lines) == sorted((run.id, run.extra.tick) for run in runs)
    assert all(line.count == 1 for line in lines if line.result == "run")
    assert life.store.most_at_once <= (case.catch_up_max + 1 if case.catch_up == "all" else 1)
    assert life.most <= 1 or case.overlap == "allow"


def live_through(case: Case) -> set[str]:
    """Lives through it and checks the ledger; which results there were."""

    async def story() -> set[str]:
        life = Life(case)
        await life.live()
        lines = [*reversed(await life.store.ticks("demo.work", 0.0, 1e12, 10_000_000))]
        [row] = await life.store.schedules()
        check(life, lines, row.looked_until, await life.flow.runs(schedule="demo.work"))
        return {line.result for line in lines}

    logging.disable(logging.WARNING)
    try:
        return asyncio.run(story())
    finally:
        logging.disable(logging.NOTSET)


@given(cases)
@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_every_due_tick_has_one_result_whatever_befalls_the_kernel(case: Case) -> None:
    for result in live_through(case):
        event(result)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@given(cases)
@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_due_tick_has_one_result_in_many_lives(case: Case) -> None:
    live_through(case)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.spec} {kind.begin[:10]}")
@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_a_life_with_everything_in_it_leaves_no_tick_without_a_result(kind: Kind, catch_up: str) -> None:
    names = [
        "pass",
        "block",
        "down",
        "pause",
        "pass",
        "down",
        "resume",
        "off",
        "pass",
        "on",
        "pause elsewhere",
        "block",
    ]
    befalls = [(name, 2.6) for name in (*names, "resume elsewhere", "pass", "off", "down", "pass")]

    live_through(Case(kind, catch_up, 2, None, "skip", 0.4, [*befalls, ("step", 3600.0), ("step", -601.0), *befalls]))
