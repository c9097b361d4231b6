"""What `run` says of runs: the outcome of each that ends, as a line for a terminal or as a log record."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from kernel.cli.output import STATE_STYLES, clean
from kernel.model.duration import words
from kernel.model.events import (
    ConfigReloaded,
    Event,
    PluginDisabled,
    PluginEnabled,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunExpired,
    RunFailed,
    RunRetrying,
    RunStuck,
)
from kernel.model.run import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.cli.line_writer import LineWriter

log = logging.getLogger("kernel.runs")

ENDS = (RunCompleted, RunFailed, RunRetrying, RunCancelled, RunExpired, RunStuck)
ON_SCREEN = (*ENDS, PluginEnabled, PluginDisabled, ConfigReloaded)

_ANSI = {
    "green": "32", "yellow": "33", "bold red": "1;31", "magenta": "35", "cyan": "36", "dim": "2",
}  # fmt: skip


class End(NamedTuple):
    """How an attempt ended; ``seconds`` and ``attempt`` are None for a run that did not begin."""

    state: str
    seconds: float | None = None
    attempt: int | None = None
    note: str = ""


def end_of(event: RunEvent) -> End:  # noqa: PLR0911 - one answer for each kind of event
    match event:
        case RunCompleted(attempt=attempt, seconds=seconds, degraded=degraded, notes=notes):
            return End("degraded" if degraded else "completed", seconds, attempt, "; ".join(notes))
        case RunFailed(attempt=attempt, seconds=seconds, error=error, reason=reason):
            return End("failed", seconds, attempt, f"{error} ({reason})" if error else reason)
        case RunRetrying(attempt=attempt, seconds=seconds, error=error, due=due):
            return End("retrying", seconds, attempt, f"{error}; again at {_clock(due)}")
        case RunCancelled(reason=reason):
            return End("cancelled", note=reason)
        case RunExpired(expires=expires):
            return End("expired", note=f"it had not begun by {iso(expires)}")
        case RunStuck(attempt=attempt, reason=reason):
            return End("stuck", attempt=attempt, note=reason)
        case _:
            return End(event.name)


class Screen:
    """The lines of a terminal."""

    def __init__(self, writer: LineWriter, *, colours: bool) -> None:
        self._writer = writer
        self._colours = colours

    async def tell(self, events: Sequence[Event]) -> None:
        for event in events:
            for line in self._lines(event):
                self.say(line)

    def say(self, line: str) -> None:
        self._writer.put(lambda: line)

    def _lines(self, event: Event) -> list[str]:
        at = _clock(event.at)
        match event:
            case RunEvent():
                return [f"{at}  {self._run(event, end_of(event))}"]
            case PluginEnabled(plugin=plugin):
                return [f"{at}  {self.painted('enabled', 9)}  plugin {plugin}"]
            case PluginDisabled(plugin=plugin):
                return [f"{at}  {self.painted('off', 9)}  plugin {plugin}"]
            case ConfigReloaded(changes=changes):
                return [f"{at}  {'reloaded':<9}  {clean(change)}" for change in changes]
            case _:
                return []

    def _run(self, event: RunEvent, end: End) -> str:
        took = "-" if end.seconds is None else words(end.seconds)
        attempt = "" if end.attempt is None else f"attempt {end.attempt}"
        line = f"{self.painted(end.state, 9)}  {event.job:<30}  {took:>8}  {attempt:<9}  {event.run}"
        return f"{line}  {clean(end.note)}".rstrip()

    def painted(self, state: str, width: int = 0) -> str:
        """The state in its colour, if there are colours."""
        code = _ANSI.get(STATE_STYLES.get(state, ""))
        text = f"{state:<{width}}"
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and code else text


async def log_ends(events: Sequence[Event]) -> None:
    """The same as records of the log."""
    for event in events:
        if isinstance(event, RunEvent):
            end = end_of(event)
            level = logging.WARNING if end.state in ("failed", "retrying", "stuck", "degraded") else logging.INFO
            extra = {
                "job": event.job,
                "run": event.run,
                "state": end.state,
                "attempt": end.attempt,
                "seconds": None if end.seconds is None else round(end.seconds, 6),
            }
            given = {key: value for key, value in extra.items() if value is not None}
            log.log(level, "run %s%s", end.state, f": {end.note}" if end.note else "", extra=given)


def _clock(instant: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(instant))
