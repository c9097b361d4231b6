"""Why a run has not begun, or what became of a tick: the one reason that holds, and when it ends."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.store import RunQuery
from kernel.model.breaker import CLOSED, OPEN, Breaker
from kernel.model.counted import counted
from kernel.model.duration import words
from kernel.model.errors import RequestError, printable, shown
from kernel.model.lifecycle import SNOOZED
from kernel.model.loss import SETTLED_SECONDS, is_suspect, lost_in_words
from kernel.model.queue import Queue
from kernel.model.rate import rate_limit
from kernel.model.run import Run, RunState, iso
from kernel.model.schedule import DAY, Timing
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.model.breaker import BreakerTable
    from kernel.model.schedule import ScheduleRow

_MOST_RUNNING = 1_000
_ERROR_CHARACTERS = 200
_NAMED = 3
Answer = dict[str, Any]
Reason = tuple[str, str, float | None]


class Slots(NamedTuple):
    """What only the kernel itself knows: which of its claimed runs have begun (id -> job), and which wait for a slot."""

    concurrency: int
    begun: Mapping[str, str]
    waiting: Collection[str]

    @property
    def are_taken(self) -> bool:
        return len(self.begun) >= self.concurrency

    def in_words(self) -> str:
        named = ", ".join(f"{run} of {job}" for run, job in list(self.begun.items())[:_NAMED])
        more = ", …" if len(self.begun) > _NAMED else ""
        most = f"{len(self.begun):,} of at most {counted(self.concurrency, 'run')} (concurrency)"
        return f"the kernel runs {most}: it begins when one of them ends; these are {named}{more}"


class Explainer:
    """Reads the store alone, so that it answers beside a running kernel, and without one; inside one, ``slots`` too."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        breaker_tables: Callable[[str], BreakerTable] = lambda _: {},
        slots: Callable[[], Slots | None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._breaker_tables = breaker_tables
        self._slots = slots

    async def run(self, run: Run, jobs: list[Answer], queues: Mapping[str, Queue]) -> Answer:
        """``jobs`` and ``queues`` are those announced. ``until`` is when the reason ends, None when nobody can say."""
        reason, text, until = await self._reason(run, jobs, queues.get(run.queue) or Queue(run.queue))
        return {
            "run": run.id, "job": run.job, "state": str(run.state), "reason": reason, "text": text, "until": iso(until),
        }  # fmt: skip

    async def _reason(self, run: Run, jobs: list[Answer], queue: Queue) -> Reason:
        if run.is_final:
            return _end_of(run)
        if run.state == RunState.RUNNING:
            return await self._running(run)
        now = self._clock.now()
        return (
            await self._blocked(run)
            or await self._not_due(run, jobs, now)
            or await self._held_back(run, jobs, now)
            or await self._broken_off(run, jobs, now)
            or await self._tried_alone(run, now)
            or await self._limited(run, jobs, queue)
            or await self._rated(run, jobs, queue, now)
            or await self._waiting(run)
        )

    async def _running(self, run: Run) -> Reason:
        alive = {row.id: row for row in await self._store.kernels()}
        who = alive.get(run.kernel or "")
        since = f"since {iso(run.started)}, attempt {run.attempt}"
        if run.stuck:
            return (
                "stuck",
                f"told to end and has not; it keeps its place until it ends or kernel {run.kernel} does",
                None,
            )
        if who is None:
            next_one = "another kernel" if self._store.is_shared and alive else "the next kernel to start"
            text = f"claimed by kernel {run.kernel} {since}, which is not alive: {next_one} queues it again"
            return "claimed by", text, None
        claimed = f"claimed by kernel {run.kernel} (pid {who.pid}) {since}"
        slots = self._slots()
        if slots is not None and run.id in slots.waiting:
            why = f"waits for a slot: {slots.in_words()}" if slots.are_taken else "has not begun yet"
            return "waiting for a slot", f"{claimed}, and {why}", None
        return "claimed by", claimed, None

    async def _not_due(self, run: Run, jobs: list[Answer], now: float) -> Reason | None:
        """Also when the breaker of its job is open, if that will hold it back then."""
        found = _not_due(run, now)
        if found is None or all(job["job"] != run.job for job in jobs):
            return found
        barred = await self._broken_off(run, jobs, now)
        if barred is None:
            return found
        reason, text, until = found
        is_later = barred[2] is not None and barred[2] > run.due
        if not is_later and run.state != RunState.RETRYING:
            return found
        return barred[0] if is_later else reason, f"{text}; and {barred[1]}", barred[2] if is_later else until

    async def _held_back(self, run: Run, jobs: list[Answer], now: float) -> Reason | None:
        if not await self._store.kernels():
            return "no kernel alive", "no kernel is alive: start one by `mainspring run`", None
        if all(job["job"] != run.job for job in jobs):
            return await self._unknown(run.job)
        for row in await self._store.queues():
            if row.name == run.queue and row.paused_until is not None and row.paused_until > now:
                until = None if row.paused_until == math.inf else row.paused_until
                text = f"the queue {run.queue} is paused " + (f"until {iso(until)}" if until else "until it is resumed")
                return "queue paused", text, until
        return None

    async def _broken_off(self, run: Run, jobs: list[Answer], now: float) -> Reason | None:
        """The job's circuit breaker, when it is open or lets one run begin at a time."""
        policy = _info_of(run, jobs).get("breaker")
        if not policy or policy["when_open"] != "wait":
            return None
        for row in await self._store.breakers():
            if row.name != policy["name"] or row.state == CLOSED:
                continue
            who = f"the breaker {row.name} is {row.state} since {iso(row.opened)}"
            why = f", after {printable(row.error, _ERROR_CHARACTERS)}" if row.error else ""
            if row.state == OPEN:
                is_ahead = row.until is not None and row.until > now
                when = f"at {iso(row.until)}" if is_ahead else "now"
                return "breaker", f"{who}{why}; one run may begin, to try, {when}", row.until if is_ahead else None
            table = self._breaker_tables(row.name)
            needed = Breaker(**policy).thresholds.overruled_by(table).success_threshold
            done = f"{row.successes:,} of {counted(needed, 'try has', 'tries have')} succeeded"
            return "breaker", f"{who}{why}; one run at a time begins, and {done}", None
        return None

    async def _tried_alone(self, run: Run, now: float) -> Reason | None:
        """A run that was lost twice begins once a kernel has been up for a while and no other such run is with it."""
        if not is_suspect(run.losses):
            return None
        why = f"{lost_in_words(run.losses)}; it is tried alone"
        settled_at = min((row.started for row in await self._store.kernels()), default=now) + SETTLED_SECONDS
        if settled_at > now:
            return "tried alone", f"{why} at {iso(settled_at)}, when the kernel has been up for a while", settled_at
        running = await self._store.runs(RunQuery(states=[RunState.RUNNING], limit=_MOST_RUNNING))
        others = ", ".join(one.id for one in running if is_suspect(one.losses))
        return ("tried alone", f"{why}, after {others}", None) if others else None

    async def _unknown(self, job: str) -> Reason:
        plugin = job.partition(".")[0]
        stored = await self._store.get("kernel", ["plugins"])
        for state in json.loads(stored.get("plugins", "[]")):
            if state["plugin"] == plugin and state["state"] not in {"enabled", "quarantined"}:
                why = f": {state['reason']}" if state.get("reason") else ""
                return "plugin off", f"the plugin {plugin} is {state['state']}{why}", None
        return "no kernel knows the job", f"no kernel knows the job {job}: is its plugin installed and enabled?", None

    async def _limited(self, run: Run, jobs: list[Answer], queue: Queue) -> Reason | None:
        """The runs that have the room of a key, a job or a queue that is full."""
        info = _info_of(run, jobs)
        by, key = info.get("concurrency_by"), run.extra.concurrency_key if run.extra else None
        limits = [("queue", run.queue, queue.concurrency, queue.concurrency_scope)]
        if by is None:
            limits.insert(0, ("job", run.job, info["concurrency"], info.get("concurrency_scope", "all")))
        elif key is not None and info["concurrency"] is not None:
            query = RunQuery(states=[RunState.RUNNING], job=run.job, limit=_MOST_RUNNING)
            holders = [one for one in await self._store.runs(query) if one.extra and one.extra.concurrency_key == key]
            if len(holders) >= info["concurrency"]:
                who = f"the job {run.job} runs at most {info['concurrency']:,} at once for {by} {printable(key, 60)}"
                return "limit", f"{who}: held by {_listed(holders)}", None
        for kind, name, limit, scope in limits:
            if limit is None:
                continue
            kernels = await self._store.kernels() if scope == "kernel" else []
            most = limit * max(len(kernels), 1)
            query = RunQuery(states=[RunState.RUNNING], limit=most)._replace(**{kind: name})  # type: ignore[arg-type] # job or queue
            holders = await self._store.runs(query)
            held = Counter(one.kernel for one in holders)
            if all(held[one.id] >= limit for one in kernels) if kernels else len(holders) >= limit:
                where = " in each kernel" if scope == "kernel" else ""
                text = f"the {kind} {name} runs at most {limit:,} at once{where}: held by {_listed(holders)}"
                return "limit", text, None
        return None

    async def _rated(self, run: Run, jobs: list[Answer], queue: Queue, now: float) -> Reason | None:
        """The rate that has no room just now, and when it has again."""
        info = _info_of(run, jobs)
        by, key = info.get("rate_limit_by"), run.extra.rate_key if run.extra else None
        of_job = rate_limit(info.get("rate_limit"))
        rates = [("queue", run.queue, "", queue.rate_limit, f"the queue {run.queue}")]
        if by is None:
            rates.insert(0, ("job", run.job, "", of_job, f"the job {run.job}"))
        elif key is not None:
            rates.insert(0, ("key", run.job, key, of_job, f"the job {run.job}, for {by} {printable(key, 60)},"))
        for kind, name, value, limit, who in rates:
            if limit is None:
                continue
            until = await self._store.rate_room_at(kind, name, value, limit, now)
            if until > now:
                what = counted(limit.count, "run")
                text = f"{who} begins at most {what} in {words(limit.seconds)}: the next may begin at {iso(until)}"
                return "rate limit", text, until
        return None

    async def _waiting(self, run: Run) -> Reason:
        ahead = (await self._store.count(RunQuery(states=[RunState.QUEUED], queue=run.queue))).get("queued", 0)
        text = f"due since {iso(run.due)}; {counted(ahead, 'run is', 'runs are')} queued in {run.queue}"
        slots = self._slots()
        if slots is not None and slots.are_taken:
            others = "; another kernel may take it before" if len(await self._store.kernels()) > 1 else ""
            text = f"{slots.in_words()}{others}; {text}"
        return "waiting for a slot", text, None

    async def _blocked(self, run: Run) -> Reason | None:
        """What the run waits for: runs that it depends on, or earlier ones of its schedule."""
        if run.state != RunState.BLOCKED:
            return None
        edges = await self._store.edges([run.id])
        parents = [edge.parent for edge in edges if edge.child == run.id and edge.is_open]
        if not parents:
            return "blocked", f"waits until earlier runs of the schedule {run.schedule} have ended", None
        first = await self._store.runs(RunQuery(ids=parents[:_NAMED], limit=_NAMED))
        names = ", ".join(f"{one.id} of {one.job} ({one.state})" for one in sorted(first))
        more = f", and {len(parents) - _NAMED:,} more" if len(parents) > _NAMED else ""
        what = "a run" if len(parents) == 1 else f"{len(parents):,} runs"
        return "blocked", f"waits for {what} that it depends on: {names}{more}", None

    async def schedule(self, row: ScheduleRow, at: str | None, jobs: list[Answer]) -> Answer:
        """What became of the tick at ``at`` (ISO 8601; the last one before it), or of the last tick of all."""
        now = self._clock.now()
        asked = now if at is None else _instant_of(at, row)
        timing = Timing(row.schedule, row.anchor)
        ticks = await self._store.ticks(row.name, asked - 400 * DAY, asked, 1)
        off = _why_off(row, jobs)
        following = None if off or row.schedule.kind == "after" else timing.next_after(now)
        answer: Answer = {
            "schedule": row.name,
            "job": row.schedule.job,
            "asked_at": iso(asked),
            "next_at": iso(following),
        }
        if asked > now:
            text = f"that is ahead; {off or f'the next tick is at {iso(following)}'}"
            return answer | {"reason": "not due yet", "text": text, "tick_at": None, "result": None, "run": None}
        if not ticks:
            return answer | self._no_tick(row, asked, off)
        tick = ticks[0]
        count = f" (one of {tick.count:,} from {iso(tick.first)} to {iso(tick.last)})" if tick.count > 1 else ""
        why = f": {tick.reason}" if tick.reason else ""
        text = f"the tick at {iso(min(tick.last, asked))}{count} made {'a run' if tick.run else 'no run'}, {tick.result}{why}"
        if tick.run:
            text = f"the tick at {iso(tick.last)} made the run {tick.run}" + (
                f" ({tick.reason})" if tick.reason else ""
            )
        if off:
            text = f"{off}; {text}"
        return answer | {
            "reason": tick.result, "text": text, "tick_at": iso(tick.last), "result": tick.result, "run": tick.run,
        }  # fmt: skip

    def _no_tick(self, row: ScheduleRow, asked: float, off: str | None) -> Answer:
        why = f"{off}; " if off else ""
        if row.schedule.kind != "after" and asked > row.looked_until and (
            pending := Timing(row.schedule, row.anchor).next_after(row.looked_until)
        ) and pending <= asked:  # fmt: skip
            text = f"{why}the tick at {iso(pending)} has not been looked at: no kernel has run since"
            return {"reason": "no kernel alive", "text": text, "tick_at": iso(pending), "result": None, "run": None}
        text = f"{why}no tick is recorded up to {iso(asked)}: the schedule was looked at until {iso(row.looked_until)}"
        return {"reason": "no tick", "text": text, "tick_at": None, "result": None, "run": None}


def _why_off(row: ScheduleRow, jobs: list[Answer]) -> str | None:
    """What keeps the schedule from making runs now; its ticks are recorded as that, a minute at a time."""
    schedule = row.schedule
    if all(job["job"] != schedule.job for job in jobs):
        return f"no kernel knows the job {schedule.job} now, and its ticks make no runs"
    if schedule.paused if row.paused is None else row.paused:
        return "it is paused, and its ticks make no runs"
    return None


def _info_of(run: Run, jobs: list[Answer]) -> Answer:
    return next(job for job in jobs if job["job"] == run.job)


def _listed(runs: Sequence[Run]) -> str:
    return ", ".join(run.id for run in runs[:_NAMED]) + (", …" if len(runs) > _NAMED else "")


def _end_of(run: Run) -> Reason:
    match run.state:
        case RunState.COMPLETED:
            return "completed", _ended(run, "completed"), None
        case RunState.FAILED:
            text = f"{run.error.type}: {run.error.message}" if run.error else "no error was kept"
            return "failed", f"{_ended(run, 'failed')}: {run.reason or 'failed'}; {text}", None
        case RunState.CANCELLED:
            return "cancelled", f"{_ended(run, 'was cancelled')}: {run.reason or 'no reason was given'}", None
        case _:
            return "expired", f"it had not begun by {iso(run.extra.expires) if run.extra else 'its limit'}", None


def _not_due(run: Run, now: float) -> Reason | None:
    if run.due <= now:
        return None
    if run.state == RunState.RETRYING:
        why = f" after {run.error.type}: {run.error.message}" if run.error else ""
        return "retry at", f"attempt {run.attempt} failed{why}; the next one begins at {iso(run.due)}", run.due
    if is_suspect(run.losses):
        return "tried alone", f"{lost_in_words(run.losses)}; it is tried alone at {iso(run.due)}", run.due
    if run.state == RunState.SCHEDULED and run.reason == SNOOZED:
        text = f"it snoozed in attempt {run.attempt}; the next one begins at {iso(run.due)}, in {words(run.due - now)}"
        return "snoozed until", text, run.due
    return "delayed until", f"delayed until {iso(run.due)}, in {words(run.due - now)}", run.due


def _ended(run: Run, verb: str) -> str:
    return f"it {verb} at {iso(run.finished)}, attempt {run.attempt}"


def _instant_of(text: str, row: ScheduleRow) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(f'at: {shown(text)}: expected ISO 8601, as "2026-01-31T02:30:00+01:00"') from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone_of(row.schedule.timezone) if row.schedule.kind == "cron" else UTC)
    return at.timestamp()
