"""The kernel's own health, from what it does, and what its plugins say of theirs: merely to be up is no work done."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from kernel.flow.membership import LEASE, NOT_RENEWED, RESCUE
from kernel.flow.notebook import READING, WRITING
from kernel.model.check import Check
from kernel.model.counted import counted
from kernel.model.errors import StoreError, shown
from kernel.model.run import RunState, iso

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kernel.flow.engine import Engine

LATE_SECONDS = 5.0
STORE_SECONDS = 4.0
PLUGIN_SECONDS = 3.0
"""How long a plugin may take to say how it is. Who asks for health waits 5 s in all."""
MOST_CHECKS = 10_000
HEALTHY = "healthy"
LAG_SECONDS = 1.0
_HOUR_SECONDS = 3600.0
_TROUBLES = {
    "outcomes": "the store does not take the outcomes of runs; {waiting} in memory, and no run begins meanwhile",
    WRITING: "the store does not take the progress, log and steps of runs; they wait in memory",
    READING: "the store does not give back the recorded steps of runs; the runs wait for them",
    "breakers": "the store does not take the state of circuit breakers; it waits in memory, and no open one is tried",
    "claims": "the store does not hand out runs; none begins meanwhile",
    "schedules": "the store does not take the ticks of schedules; they are caught up with later",
    RESCUE: "the store does not hand over what dead kernels had claimed",
    "changes": "the store does not say what others have changed, as cancelled runs, paused queues and schedules",
}
"""Part of the flow that is in trouble with the store -> what that means."""


class Fault(Protocol):
    @property
    def reason(self) -> str: ...


class Answered(Protocol):
    """What one plugin's hook gave back, or how it failed."""

    @property
    def plugin(self) -> str: ...

    @property
    def value(self) -> Any: ...

    @property
    def error(self) -> Fault | None: ...


async def judge_health(
    engine: Engine,
    plugins: list[dict[str, Any]],
    now: float,
    asked: Callable[[], Awaitable[Sequence[Answered]]] | None = None,
) -> dict[str, Any]:
    """``healthy``, the ``checks`` that say so, the ``problems`` in words, and figures.

    The kernel's own checks come first, then those of its plugins as ``asked`` gives them: a plugin that fails to say is not
    healthy either.
    """
    own, answers = await asyncio.gather(_own_checks(engine, plugins, now), asked() if asked else _nobody())
    lag, checks = own
    problems = [check.text for check in checks if not check.ok]
    rows = [{"plugin": None, **check.as_json()} for check in checks]
    for answer in answers:
        for check in checks_of(answer):
            rows.append({"plugin": answer.plugin, **check.as_json()})
            if not check.ok:
                problems.append(f"{check.subject} is {check.verdict}" + (f": {check.text}" if check.text else ""))
    return {
        "healthy": not problems,
        "problems": problems,
        "checks": rows,
        "loop_lag_seconds": round(lag, 4),
        "concurrency": engine.pool.concurrency,
        "running": len(engine.pool.busy),
        "claimed": len(engine.ready),
        "ended": {str(state): engine.recorder.ended[state] for state in (RunState.COMPLETED, RunState.FAILED)},
        "degraded_last_hour": dict(engine.recorder.degraded_within(_HOUR_SECONDS)),
        "breakers": engine.breakers.shut(),
        "outcomes_unwritten": engine.recorder.unwritten,
        "schedules": len(engine.scheduler.entries),
        "next_look_at": iso(engine.scheduler.next_due),
        "events_dropped": {one.name: one.dropped for one in engine.bus.subscriptions if one.dropped},
    }


async def _nobody() -> Sequence[Answered]:
    return ()


async def _own_checks(engine: Engine, plugins: list[dict[str, Any]], now: float) -> tuple[float, list[Check]]:
    lag = await _loop_lag()
    if lag > LAG_SECONDS:
        loop = _bad("loop", "blocked", f"the event loop answers {lag:.1f} s late")
    else:
        loop = Check("loop", HEALTHY, ok=True, text=f"answers {lag * 1000:.1f} ms late")
    checks = [loop, *_checks_of_schedules(engine, now), *await _checks_of_store(engine), *_checks_of_plugins(plugins)]
    return lag, [*checks, *_checks_of_runs(engine)]


def _bad(subject: str, verdict: str, text: str) -> Check:
    return Check(subject, verdict, ok=False, text=text)


def _checks_of_schedules(engine: Engine, now: float) -> list[Check]:
    overdue = engine.scheduler.overdue_seconds(now)
    entries = engine.scheduler.entries
    if overdue > LATE_SECONDS:
        text = f"the schedules have not been looked at for {overdue:.0f} s after a tick was due"
        found = [_bad("schedules", "late", text)]
    else:
        found = [Check("schedules", HEALTHY, ok=True, text=f"{counted(len(entries), 'schedule')}, looked at in time")]
    lost = [name for name in sorted(entries) if engine.scheduler.off(name) == ("disabled", "job unknown")]
    return found + [
        _bad(f"schedule {name}", "unknown", f"the schedule {name} has a job that no plugin provides") for name in lost
    ]


async def _checks_of_store(engine: Engine) -> list[Check]:
    failure = await _store_answers(engine)
    if failure is not None:
        found = [_bad("store", "failing", f"the store does not answer: {failure}")]
    else:
        troubled = [part for part in engine.recorder.trouble.parts if part != LEASE]
        found = [_bad("store", "failing", _trouble_in_words(part, engine)) for part in troubled]
    if not engine.store.may_start:
        found.append(_bad("lease", "failing", NOT_RENEWED))
    return found or [Check("store", HEALTHY, ok=True, text="answers, and takes what it is given")]


def _checks_of_plugins(plugins: list[dict[str, Any]]) -> list[Check]:
    off = [one for one in plugins if one["state"] in {"broken", "quarantined"}]
    if off:
        return [
            _bad(f"plugin {one['plugin']}", one["state"], f"plugin {one['plugin']} is {one['state']}: {one['reason']}")
            for one in off
        ]
    count = sum(one["state"] == "enabled" for one in plugins)
    return [Check("plugins", HEALTHY, ok=True, text=f"{counted(count, 'plugin')}, none broken")]


def _checks_of_runs(engine: Engine) -> list[Check]:
    return [_bad(f"run {run}", "stuck", f"run {run} is stuck") for run in engine.pool.stuck]


def checks_of(answer: Answered) -> list[Check]:
    """What a plugin's ``check_health`` gave; what went wrong with that is a check that is not ok."""
    subject = f"plugin {answer.plugin}"
    if answer.error is not None:
        return [_bad(subject, "failing", answer.error.reason)]
    if answer.value is None:
        return []
    if not isinstance(answer.value, list | tuple) or not all(isinstance(one, Check) for one in answer.value):
        return [_bad(subject, "failing", f"check_health gave {shown(answer.value)}; expected a list of Check")]
    found = [one if _is_sound(one) else _unsound(subject, one) for one in answer.value[:MOST_CHECKS]]
    if len(answer.value) > MOST_CHECKS:
        text = f"check_health gave {len(answer.value):,} checks; the first {MOST_CHECKS:,} are shown"
        found.append(_bad(subject, "failing", text))
    return found


def _is_sound(check: Check) -> bool:
    """Whether it can be told as JSON: it is a plugin's, and nothing has looked at its fields."""
    try:
        json.dumps(check.as_json(), allow_nan=False, ensure_ascii=False).encode()
    except Exception:  # noqa: BLE001 - the border around plugin code: values of any kind, with a repr of their own
        return False
    return isinstance(check.ok, bool) and all(
        isinstance(one, str) for one in (check.subject, check.verdict, check.text)
    )


def _unsound(subject: str, check: Check) -> Check:
    name = check.subject if isinstance(check.subject, str) else f"a {type(check.subject).__name__}"
    text = f"check_health: the check of {shown(name)} cannot be told; expected texts, ok as a bool, an instant, and details as JSON"
    return _bad(subject, "failing", text)


def _trouble_in_words(part: str, engine: Engine) -> str:
    return _TROUBLES.get(part, "the store does not do what the kernel asks of it").format(
        waiting=counted(engine.recorder.unwritten, "waits", "wait")
    )


async def _loop_lag() -> float:
    began = time.monotonic()
    await asyncio.sleep(0)
    return time.monotonic() - began


async def _store_answers(engine: Engine) -> str | None:
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await engine.store.signals()
    except TimeoutError:
        return f"not within {STORE_SECONDS:g} s"
    except StoreError as error:
        return str(error)
    return None
