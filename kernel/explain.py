"""Why a run has not begun, or what became of a tick: the one reason that holds, and when it ends."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kernel.contracts.store import RunQuery
from kernel.model.duration import words
from kernel.model.errors import RequestError, shown
from kernel.model.run import Run, RunState, iso
from kernel.model.schedule import DAY, Timing
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from kernel.contracts.clock import Clock
    from kernel.contracts.store import Store
    from kernel.model.schedule import ScheduleRow

Answer = dict[str, Any]
Reason = tuple[str, str, float | None]


class Explainer:
    """Reads the store alone, so that it answers beside a running kernel, and without one."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self, run: Run, jobs: list[Answer]) -> Answer:
        """``jobs`` are those announced. ``until`` is when the reason ends, None when nobody can say."""
        reason, text, until = await self._reason(run, jobs)
        return {
            "run": run.id, "job": run.job, "state": str(run.state), "reason": reason, "text": text, "until": iso(until),
        }  # fmt: skip

    async def _reason(self, run: Run, jobs: list[Answer]) -> Reason:
        if run.is_final:
            return _end_of(run)
        if run.state == RunState.RUNNING:
            return await self._running(run)
        now = self._clock.now()
        return _not_due(run, now) or await self._held_back(run, jobs, now) or await self._limited(run, jobs)

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
            text = (
                f"claimed by kernel {run.kernel} {since}, which is not alive: the next kernel to start queues it again"
            )
            return "claimed by", text, None
        return "claimed by", f"claimed by kernel {run.kernel} (pid {who.pid}) {since}", None

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

    async def _unknown(self, job: str) -> Reason:
        plugin = job.partition(".")[0]
        stored = await self._store.get("kernel", ["plugins"])
        for state in json.loads(stored.get("plugins", "[]")):
            if state["plugin"] == plugin and state["state"] != "enabled":
                why = f": {state['reason']}" if state.get("reason") else ""
                return "plugin off", f"the plugin {plugin} is {state['state']}{why}", None
        return "no kernel knows the job", f"no kernel knows the job {job}: is its plugin installed and enabled?", None

    async def _limited(self, run: Run, jobs: list[Answer]) -> Reason:
        info = next(job for job in jobs if job["job"] == run.job)
        queue_limit = info["queue_concurrency"] if info["queue"] == run.queue else None
        for kind, name, limit in (("job", run.job, info["concurrency"]), ("queue", run.queue, queue_limit)):
            if limit is None:
                continue
            query = RunQuery(states=[RunState.RUNNING], limit=limit, **{kind: name})
            holders = await self._store.runs(query)
            if len(holders) >= limit:
                held = ", ".join(holder.id for holder in holders[:3]) + (", …" if len(holders) > 3 else "")
                return "limit", f"the {kind} {name} runs at most {limit} at once: held by {held}", None
        ahead = (await self._store.count(RunQuery(states=[RunState.QUEUED], queue=run.queue))).get("queued", 0)
        return "waiting for a slot", f"due since {iso(run.due)}; {ahead:,} runs are queued in {run.queue}", None

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
            return answer | self._no_tick(row, asked, jobs)
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

    def _no_tick(self, row: ScheduleRow, asked: float, jobs: list[Answer]) -> Answer:
        if row.schedule.kind != "after" and asked > row.looked_until and (
            pending := Timing(row.schedule, row.anchor).next_after(row.looked_until)
        ) and pending <= asked:  # fmt: skip
            text = f"the tick at {iso(pending)} has not been looked at: no kernel has run since"
            return {"reason": "no kernel alive", "text": text, "tick_at": iso(pending), "result": None, "run": None}
        known = (
            ""
            if any(job["job"] == row.schedule.job for job in jobs)
            else f"; no kernel knows the job {row.schedule.job}"
        )
        text = (
            f"no tick is recorded up to {iso(asked)}: the schedule was looked at until {iso(row.looked_until)}{known}"
        )
        return {"reason": "no tick", "text": text, "tick_at": None, "result": None, "run": None}


def _why_off(row: ScheduleRow, jobs: list[Answer]) -> str | None:
    """What keeps the schedule from making runs now; its ticks are recorded as that, a minute at a time."""
    schedule = row.schedule
    if all(job["job"] != schedule.job for job in jobs):
        return f"no kernel knows the job {schedule.job} now, and its ticks make no runs"
    if schedule.paused if row.paused is None else row.paused:
        return "it is paused, and its ticks make no runs"
    return None


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
    if run.state == RunState.BLOCKED:
        return "blocked", f"waits until earlier runs of the schedule {run.schedule} have ended", None
    if run.due <= now:
        return None
    if run.state == RunState.RETRYING:
        why = f" after {run.error.type}: {run.error.message}" if run.error else ""
        return "retry at", f"attempt {run.attempt} failed{why}; the next one begins at {iso(run.due)}", run.due
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
