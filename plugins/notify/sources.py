"""What each event of the kernel means to people: something has happened, or is over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kernel import Notice, words
from kernel.events import (
    BreakerClosed,
    BreakerOpened,
    ClockStepped,
    ConfigRejected,
    ConfigReloaded,
    EventsDropped,
    HealthChanged,
    KernelStarted,
    LoopBlocked,
    Notified,
    OutcomeRefused,
    PluginBroken,
    PluginDisabled,
    PluginEnabled,
    PluginQuarantined,
    PluginReleased,
    RunFailed,
    RunLost,
    RunStuck,
    StoreRecovered,
    StoreTroubled,
)

if TYPE_CHECKING:
    from kernel.model.events import Event
    from kernel.model.notice import Severity

Heard: TypeAlias = (
    KernelStarted | BreakerClosed | BreakerOpened | ClockStepped | ConfigRejected | ConfigReloaded | EventsDropped
    | HealthChanged | LoopBlocked | Notified | OutcomeRefused | PluginBroken | PluginDisabled | PluginEnabled
    | PluginQuarantined | PluginReleased | RunFailed | RunLost | RunStuck | StoreRecovered | StoreTroubled
)  # fmt: skip
FAILED = "failed"
_LOST_TWICE = 2


class Happened(NamedTuple):
    """``lasts``: until something says that it is over. ``counts``: False for what tells of a failure once more."""

    key: str
    notice: Notice
    lasts: bool = True
    counts: bool = True


class Over(NamedTuple):
    key: str
    at: float


def key_of(job: str, kind: str) -> str:
    return f"{job} {kind}"


def by_run(key: str, notice: Notice) -> bool:
    """Whether a later run of the job that completes is the end of it; what has a name of its own is ended by that."""
    return bool(notice.job) and key == key_of(notice.job, notice.kind)


def meaning(event: Event) -> list[Happened | Over]:  # noqa: C901, PLR0911, PLR0912 - a table: one case an event
    """What people may have to be told of the event, if anything."""
    match event:
        case Notified():
            return _notified(event)
        case RunFailed():
            text = f"the run failed at attempt {event.attempt}: {event.error or event.reason}"
            facts = {"reason": event.reason, "duration_seconds": round(event.seconds, 3)}
            notice = _of_run(event, "error", FAILED, text, event.attempt, facts)
            return [Happened(key_of(event.job, FAILED), notice)]
        case RunStuck():
            text = f"an attempt was told to end, and has not: {event.reason}"
            return [Happened(key_of(event.job, "stuck"), _of_run(event, "error", "stuck", text, event.attempt))]
        case RunLost(losses=losses) if losses >= _LOST_TWICE:
            text = f"the kernel died while it had the run, for the {losses}. time: {event.reason}"
            return [Happened(key_of(event.job, "lost"), _of_run(event, "warning", "lost", text), lasts=False)]
        case OutcomeRefused():
            text = (
                f"the outcome {event.state} came too late and was refused: the run has been claimed anew, or has ended"
            )
            return [Happened(key_of(event.job, "refused"), _of_run(event, "warning", "refused", text), lasts=False)]
        case PluginBroken():
            text = f"the plugin {event.plugin} is broken: {event.reason}"
            return [_of_kernel(event, "error", "plugin_broken", text, event.plugin, {"place": event.place})]
        case PluginQuarantined():
            text = f"the hooks of the plugin {event.plugin} are not called for a while: {event.reason}"
            return [_of_kernel(event, "error", "plugin_quarantined", text, event.plugin, {"place": event.place})]
        case PluginReleased(plugin=plugin):
            return [Over(f"plugin_quarantined {plugin}", event.at)]
        case PluginEnabled(plugin=plugin) | PluginDisabled(plugin=plugin):
            return [Over(f"plugin_broken {plugin}", event.at), Over(f"plugin_quarantined {plugin}", event.at)]
        case ConfigRejected():
            # The first names the file and its line.
            text = "an edit is not used: " + "\n".join(event.problems)
            return [_of_kernel(event, "error", "config_rejected", text)]
        case ConfigReloaded():
            return [Over("config_rejected", event.at)]
        case StoreTroubled():
            text = (
                f"the store does not take what it is given; it is tried again, nothing is thrown away: {event.problem}"
            )
            return [_of_kernel(event, "error", "store_troubled", text)]
        case StoreRecovered():
            return [Over("store_troubled", event.at)]
        case BreakerOpened():
            return _breaker_opened(event)
        case BreakerClosed(breaker=breaker):
            return [Over(breaker, event.at)]
        case LoopBlocked():
            who = event.job or (f"the plugin {event.plugin}" if event.plugin else "something")
            text = (
                f"{who} blocked the event loop for {words(event.seconds)}{f' at {event.place}' if event.place else ''}"
            )
            notice = Notice(
                at=event.at, severity="warning", kind="loop_blocked", text=text, job=event.job, run=event.run,
                context={"plugin": event.plugin, "place": event.place, "seconds": round(event.seconds, 3)},
            )  # fmt: skip
            return [Happened(key_of(event.job or event.plugin, "loop_blocked"), notice, lasts=False)]
        case ClockStepped():
            ahead = "ahead" if event.seconds > 0 else "back"
            text = f"the wall clock was set {ahead} by {words(abs(event.seconds))}"
            return [_of_kernel(event, "warning", "clock_stepped", text, lasts=False)]
        case EventsDropped():
            text = f"{event.listener} did not keep up: {event.count} events were not told to it"
            return [_of_kernel(event, "warning", "events_dropped", text, event.listener, lasts=False)]
        case HealthChanged():
            return _health(event)
        case _:
            return []


def _notified(event: Notified) -> list[Happened | Over]:
    context = dict(event.context)
    kind, name = str(context.pop("kind", "") or ""), str(context.pop("incident", "") or "")
    is_error = event.level == "error"
    if name and not is_error:
        return [Over(name, event.at), *([] if not kind else _notified_info(event, kind, context))]
    if not is_error:
        return _notified_info(event, kind or "info", context)
    kind = kind or FAILED
    return [Happened(name or key_of(event.job, kind), _told(event, "error", kind, context))]


def _notified_info(event: Notified, kind: str, context: dict[str, Any]) -> list[Happened | Over]:
    return [Happened(key_of(event.job, kind), _told(event, "info", kind, context), lasts=False)]


def _told(event: Notified, severity: Severity, kind: str, context: dict[str, Any]) -> Notice:
    return Notice(
        at=event.at, severity=severity, kind=kind, text=event.text, job=event.job, run=event.run, attempt=event.attempt,
        error=event.error, traceback=event.traceback, context=context, log=event.log,
    )  # fmt: skip


def _breaker_opened(event: BreakerOpened) -> list[Happened | Over]:
    if not event.failures:  # the kernel that opened it tells
        return []
    text = f"the circuit breaker {event.breaker} is open after {event.failures} failures in a row: {event.error}"
    notice = Notice(at=event.at, severity="warning", kind="breaker_open", text=text, context={"breaker": event.breaker})
    # Its failures may have been told under its name by the jobs, one by one.
    return [Happened(event.breaker, notice, counts=False)]


def _health(event: HealthChanged) -> list[Happened | Over]:
    """What fails or is stuck has been told as such; the rest begins and ends here."""
    job, verdict = event.job, event.verdict
    severities: dict[str, Severity] = {"late": "error", "long": "warning", "degraded": "info"}
    over: list[Happened | Over] = [Over(key_of(job, kind), event.at) for kind in severities if kind != verdict]
    if verdict not in severities:
        return over
    text = event.text or f"the job is {verdict}"
    notice = Notice(at=event.at, severity=severities[verdict], kind=verdict, text=text, job=job)
    return [*over, Happened(key_of(job, verdict), notice)]


def _of_run(  # noqa: PLR0917 - in the order of a notice
    event: Any, severity: Severity, kind: str, text: str, attempt: int = 0, context: dict[str, Any] | None = None
) -> Notice:
    return Notice(
        at=event.at, severity=severity, kind=kind, text=text, job=event.job, run=event.run, attempt=attempt,
        context={"queue": event.queue, **(context or {})},
    )  # fmt: skip


def _of_kernel(  # noqa: PLR0917 - in the order of a notice
    event: Event,
    severity: Severity,
    kind: str,
    text: str,
    subject: str = "",
    context: dict[str, Any] | None = None,
    *,
    lasts: bool = True,
) -> Happened:
    notice = Notice(at=event.at, severity=severity, kind=kind, text=text, context=context or {})
    return Happened(f"{kind} {subject}".strip(), notice, lasts=lasts)
