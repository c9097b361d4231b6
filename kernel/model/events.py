"""Events: immutable facts about the kernel's life, told to plugins once the store has them. ``at``: epoch seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, TypeVar, dataclass_transform

Kind = TypeVar("Kind", bound=type)


@dataclass_transform(frozen_default=True)
def _event(kind: Kind) -> Kind:
    """Frozen for who checks types. Not while it runs: three of a run are made, each at a fifth of what freezing takes."""
    return dataclass(slots=True, unsafe_hash=True)(kind)  # type: ignore[return-value] # the same name, with slots


@_event
class Event:
    """The root of all events; as an annotation it subscribes to every one."""

    at: float

    @property
    def weight(self) -> int:
        """For how many it counts in an inbox."""
        return 1

    @property
    def name(self) -> str:
        return type(self).__name__

    def as_json(self) -> dict[str, Any]:
        return {"event": self.name, **asdict(self)}


@_event
class KernelStarted(Event):
    kernel: str
    pid: int


@_event
class KernelStopping(Event):
    kernel: str
    reason: str


@_event
class PluginEnabled(Event):
    plugin: str


@_event
class PluginDisabled(Event):
    plugin: str


@_event
class PluginBroken(Event):
    """``place`` is ``file:line`` where that is known."""

    plugin: str
    reason: str
    place: str = ""


@_event
class PluginFaulted(Event):
    """A hook failed that is called again and again; nothing else has changed. ``place`` as of PluginBroken."""

    plugin: str
    hook: str
    reason: str
    place: str = ""


@_event
class PluginQuarantined(Event):
    """So many faults that its hooks are not called ``until`` then (epoch seconds); its jobs go on."""

    plugin: str
    reason: str
    place: str
    until: float


@_event
class PluginReleased(Event):
    """Out of quarantine: the pause is over, or it was released by hand."""

    plugin: str
    reason: str


@_event
class ConfigReloaded(Event):
    changes: tuple[str, ...]


@_event
class ConfigRejected(Event):
    problems: tuple[str, ...]


@_event
class RunEvent(Event):
    """The root of what happens to one run; as an annotation it subscribes to all of these."""

    run: str
    job: str
    queue: str


@_event
class RunQueued(RunEvent):
    """Accepted: the store has it. ``due`` is when it may begin."""

    due: float
    schedule: str | None = None


@_event
class RunStarted(RunEvent):
    attempt: int


@_event
class RunCompleted(RunEvent):
    """``notes``: of a degraded one, what it did without. ``waited``: seconds from its due instant to this attempt."""

    attempt: int
    seconds: float
    degraded: bool = False
    notes: tuple[str, ...] = ()
    waited: float = 0.0


class Completion(NamedTuple):
    """What RunCompleted tells of one run; ``at``: when it ended."""

    at: float
    run: str
    job: str
    queue: str
    attempt: int
    seconds: float
    degraded: bool
    waited: float


@_event
class RunsCompleted(Event):
    """Runs that have completed and were recorded together, in order: RunCompleted at a fraction of its cost.

    For who needs no more than numbers of very many. Told to those alone who name it, not to who listens to all events.
    """

    ends: tuple[Completion, ...]

    @property
    def weight(self) -> int:
        return len(self.ends)


@_event
class RunProgressed(RunEvent):
    """``fraction`` is from 0 to 1."""

    attempt: int
    fraction: float
    text: str


@_event
class RunLogged(RunEvent):
    """Lines of the run's log, each with ``at`` (ISO 8601), ``attempt``, ``level`` and ``text``; of many the newest.

    ``left_out``: how many others there were, which are in the log.
    """

    attempt: int
    lines: tuple[dict[str, Any], ...]
    left_out: int = 0


@_event
class RunRetrying(RunEvent):
    """An attempt failed and another will follow at ``due``. ``waited``: as of RunCompleted."""

    attempt: int
    seconds: float
    error: str
    due: float
    waited: float = 0.0


@_event
class RunFailed(RunEvent):
    """Failed for good: attempts used up, or given up. ``waited``: as of RunCompleted."""

    attempt: int
    seconds: float
    error: str
    reason: str
    waited: float = 0.0


@_event
class RunSnoozed(RunEvent):
    attempt: int
    due: float


@_event
class RunCancelled(RunEvent):
    reason: str


@_event
class RunExpired(RunEvent):
    expires: float


@_event
class RunReleased(RunEvent):
    """Given back to the queue unfinished, at no cost to the run: the kernel stops, or its plugin goes off."""

    reason: str


@_event
class RunLost(RunEvent):
    """Its kernel died while it had the run; told by the kernel that takes it up. ``losses``: how often that is held
    against the run by now.
    """

    losses: int
    reason: str


@_event
class RunStuck(RunEvent):
    """Told to end, and has not within the grace; it keeps its place until it ends or the process does."""

    attempt: int
    reason: str


@_event
class OutcomeRefused(RunEvent):
    """An outcome that came too late: the run has been claimed anew, or ended, since."""

    state: str


@_event
class TickPassed(Event):
    """Ticks of a schedule that made no run; ``result`` is skipped, folded, missed, paused or disabled."""

    schedule: str
    first: float
    last: float
    count: int
    result: str
    reason: str


@_event
class OperatorActed(Event):
    """Somebody has changed something by hand. ``by`` and ``address``: who, and from where, as far as that is known.

    ``action`` and ``subject``: as of control, ``runs_cancel`` of a run's id, say; ``text``: what became of it.
    """

    by: str
    address: str
    action: str
    subject: str
    text: str = ""


@_event
class ScheduleAdded(Event):
    schedule: str


@_event
class ScheduleRemoved(Event):
    schedule: str


@_event
class SchedulePaused(Event):
    schedule: str


@_event
class ScheduleResumed(Event):
    schedule: str


@_event
class QueuePaused(Event):
    """``until`` is epoch seconds, or None: until it is resumed."""

    queue: str
    until: float | None


@_event
class QueueResumed(Event):
    queue: str


@_event
class BreakerOpened(Event):
    """``failures`` in a row, as counted by the kernel that tells; 0 when another kernel has opened it. ``until``: from
    when a call may be let through to try, epoch seconds. ``error`` is the last one.
    """

    breaker: str
    failures: int
    until: float
    error: str


@_event
class BreakerHalfOpened(Event):
    """The first call since it opened is let through; one at a time is, until it closes or opens again."""

    breaker: str


@_event
class BreakerClosed(Event):
    breaker: str


@_event
class ClockStepped(Event):
    """The wall clock moved against elapsed time by ``seconds`` (negative: back)."""

    seconds: float


@_event
class LoopBlocked(Event):
    """The event loop had no turn for ``seconds``. Of what is not known of who blocked it, the text is empty."""

    plugin: str
    job: str
    run: str
    place: str
    seconds: float


@_event
class JobMoved(Event):
    """A job with ``when_blocking="thread"`` has blocked the loop too often: its attempts run in threads from now on."""

    job: str
    reason: str


@_event
class HealthChanged(Event):
    """A job's verdict is another one than at the check before. ``since``: epoch seconds from when it has held."""

    job: str
    verdict: str
    before: str
    text: str
    since: float


@_event
class StoreTroubled(Event):
    """The store does not take what it is given; outcomes wait in memory."""

    problem: str


@_event
class StoreRecovered(Event):
    seconds: float


@_event
class ServiceTroubled(Event):
    """Something outside does not take what a plugin sends there, for the first time since it last did. ``service`` names it
    without what is secret.
    """

    plugin: str
    service: str
    problem: str


@_event
class ServiceRecovered(Event):
    """It takes what it is sent again, after so many seconds."""

    plugin: str
    service: str
    seconds: float


@_event
class Notified(Event):
    """What a job told people by ``ctx.notify_info`` or ``ctx.notify_error``; ``level`` is info or error.

    ``error``: the type of the error, with its ``traceback``, where the job gave one. ``log``: the last lines that the
    attempt has logged in this process.
    """

    level: str
    text: str
    job: str
    run: str
    attempt: int
    context: dict[str, Any]
    error: str = ""
    traceback: str = ""
    log: tuple[str, ...] = ()


@_event
class EventsDropped(Event):
    """A listener's inbox was full; ``count`` events were not told to it."""

    listener: str
    count: int


def event_types() -> list[type[Event]]:
    """Every concrete event, in the order of this page."""
    found: list[type[Event]] = []
    open_types = [Event]
    while open_types:
        here = open_types.pop(0)
        open_types.extend(here.__subclasses__())
        # dataclass(slots=True) makes each class twice; the first one is replaced in this module.
        if here not in (Event, RunEvent) and globals().get(here.__name__) is here:
            found.append(here)
    return sorted(found, key=lambda kind: kind.__name__)


def fields_of(kind: type[Event]) -> list[str]:
    return [field.name for field in fields(kind)]
