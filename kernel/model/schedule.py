"""Schedules: when a job is enqueued by itself, which ticks are due, and what becomes of each."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from kernel.model.cron import CronExpression
from kernel.model.duration import seconds, words
from kernel.model.errors import ConfigError, shown
from kernel.model.payload import NotJsonError, encode
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["cron", "every", "after"]
CatchUp = Literal["skip", "latest", "all"]
Overlap = Literal["skip", "queue", "allow", "replace"]
Result = Literal["run", "skipped", "folded", "missed", "paused", "disabled"]

DAY = 86400.0
NOT_LATE_SECONDS = 3600.0
SHORTEST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's definition; instants are epoch seconds, ``spec`` is the cron text or a number of seconds."""

    name: str
    job: str
    kind: Kind
    spec: str
    timezone: str = "UTC"
    jitter_seconds: float = 0.0
    start: float | None = None
    end: float | None = None
    catch_up: CatchUp = "latest"
    catch_up_window_seconds: float | None = None
    catch_up_max: int = 10
    overlap: Overlap = "skip"
    anchor: Literal["grid", "finish"] = "grid"
    payload: str = "{}"
    paused: bool = False
    plugin: str | None = None

    @property
    def interval(self) -> float:
        """Seconds between two ticks of ``every``, or the delay of ``after``."""
        return float(self.spec)

    def first_tick(self, now: float) -> float:
        """The anchor of a schedule that begins ``now``: ``every`` ticks first after one interval."""
        return now + self.interval if self.kind == "every" else now

    def describe(self) -> str:
        """The schedule in words, as in a list of schedules."""
        if self.kind == "cron":
            return f"cron {self.spec}" + ("" if self.timezone == "UTC" else f" {self.timezone}")
        return f"{self.kind} {words(self.interval)}" + (" after its end" if self.anchor == "finish" else "")

    def as_text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Schedule:
        return cls(**json.loads(text))


class ScheduleRow(NamedTuple):
    """A schedule as the store keeps it. ``looked_until``: every tick up to this instant has its result.

    ``anchor``: the first tick of an ``every``; with ``anchor="finish"`` the end of the last run plus the interval.
    ``paused``: by an operator, apart from the definition's own ``paused``.
    """

    name: str
    definition: str
    dynamic: bool
    anchor: float
    looked_until: float
    paused: bool | None = None

    @property
    def schedule(self) -> Schedule:
        return Schedule.from_text(self.definition)


class Tick(NamedTuple):
    """The ledger's line: ``count`` ticks from ``first`` to ``last`` that ended in one result; a run's line counts one."""

    schedule: str
    first: float
    last: float
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody asks of a ledger line
    result: str
    reason: str | None = None
    run: str | None = None


class Plan(NamedTuple):
    """What a look found: the ticks to run, oldest first, and the ledger lines of those that do not run."""

    runs: tuple[float, ...]
    folded: int
    ticks: tuple[Tick, ...]
    caught_up: bool


class Timing:
    """The due instants of one schedule: cron by its expression and zone, ``every`` by its grid."""

    __slots__ = ("_anchor", "_cron", "_end", "_interval", "_start", "_zone", "kind")

    def __init__(self, schedule: Schedule, anchor: float) -> None:
        self.kind = schedule.kind
        self._anchor = anchor
        self._start = schedule.start
        self._end = schedule.end
        self._zone = zone_of(schedule.timezone)
        self._cron: CronExpression | None = None
        if schedule.kind == "cron":
            self._cron = CronExpression.parse(schedule.spec, name=schedule.name)
        else:
            self._interval = schedule.interval

    def next_after(self, at: float) -> float | None:
        """The first tick after ``at``; None when there is none any more."""
        if self._start is not None and at < self._start:
            at = math.nextafter(self._start, -math.inf)
        if self._cron is not None:
            found = self._cron.next_after(at, self._zone)
        elif self.kind == "every":
            found = self._on_grid_after(at)
        else:
            found = None
        return None if found is None or (self._end is not None and found > self._end) else found

    def between(self, after: float, until: float) -> Iterator[float]:
        """The ticks in (after, until], in order."""
        at = self.next_after(after)
        while at is not None and at <= until:
            yield at
            at = self.next_after(at)

    def _on_grid_after(self, at: float) -> float:
        if at < self._anchor:
            return self._anchor
        step = math.floor((at - self._anchor) / self._interval) + 1
        found = self._anchor + step * self._interval
        # Rounding may land on the very tick that was asked to be left behind.
        return found if found > at else self._anchor + (step + 1) * self._interval


def plan(schedule: Schedule, timing: Timing, looked_until: float, now: float, off: tuple[Result, str] | None) -> Plan:
    """What becomes of the ticks in (looked_until, now]: paused or disabled (``off``), window, catch_up. Overlap comes after."""
    ledger = _Ledger(schedule.name)
    if off is not None:
        for tick in timing.between(looked_until, now):
            ledger.add(tick, *off)
        return Plan((), 0, ledger.lines(), caught_up=False)
    window_from = None
    late: list[float] = []
    folded = 0
    last: float | None = None
    for tick in timing.between(looked_until, now):
        if last is not None:
            window_from = _window_from(schedule, tick - last, now) if window_from is None else window_from
            folded += _late_tick(schedule, last, window_from, ledger, late)
        last = tick
    if last is None:
        return Plan((), 0, (), caught_up=False)
    gap_after = (timing.next_after(last) or math.inf) - last
    window_from = _window_from(schedule, gap_after, now) if window_from is None else window_from
    return _finish_plan(schedule, last, now, window_from, ledger, late, folded, min(gap_after, NOT_LATE_SECONDS))


def _finish_plan(
    schedule: Schedule, last: float, now: float, window_from: float, ledger: _Ledger, late: list[float], folded: int,
    not_late: float,
) -> Plan:  # fmt: skip
    on_time = now - last < not_late
    if not on_time and schedule.catch_up != "latest":
        folded += _late_tick(schedule, last, window_from, ledger, late)
    if not on_time and schedule.catch_up == "latest" and last < window_from:
        ledger.add(last, "missed", _window_reason(schedule, window_from, now))
        return Plan((), 0, ledger.lines(), caught_up=True)
    runs = [*late[-schedule.catch_up_max :]] if schedule.catch_up == "all" else []
    caught_up = bool(runs)
    if on_time or schedule.catch_up == "latest":
        runs.append(last)
    return Plan(tuple(runs), folded, ledger.lines(), caught_up=caught_up)


def _late_tick(schedule: Schedule, tick: float, window_from: float, ledger: _Ledger, late: list[float]) -> int:
    """Writes down a late tick that is not the last one; returns 1 when it is folded into a later one."""
    if tick < window_from:
        ledger.add(tick, "missed", "older than the catch-up window")
    elif schedule.catch_up == "skip":
        ledger.add(tick, "missed", "catch_up is skip")
    elif schedule.catch_up == "latest":
        ledger.add(tick, "folded", "a later tick runs for it")
        return 1
    else:
        late.append(tick)
        if len(late) > schedule.catch_up_max:
            ledger.add(late.pop(0), "missed", f"more than catch_up_max ({schedule.catch_up_max})")
    return 0


def _window_from(schedule: Schedule, gap: float, now: float) -> float:
    window = schedule.catch_up_window_seconds
    return now - (max(DAY, gap) if window is None else window)


def _window_reason(schedule: Schedule, window_from: float, now: float) -> str:  # noqa: ARG001 - reads as the rule it states
    return f"older than the catch-up window of {words(now - window_from)}"


class _Ledger:
    """Folds ticks of one result and reason, as they come in order, into ranges."""

    def __init__(self, schedule: str) -> None:
        self._schedule = schedule
        self._lines: list[Tick] = []

    def add(self, tick: float, result: Result, reason: str | None) -> None:
        if self._lines:
            last = self._lines[-1]
            if last.result == result and last.reason == reason:
                self._lines[-1] = last._replace(last=tick, count=last.count + 1)
                return
        self._lines.append(Tick(self._schedule, tick, tick, 1, result, reason))

    def lines(self) -> tuple[Tick, ...]:
        return tuple(self._lines)


def jitter_of(schedule: Schedule, tick: float) -> float:
    """Seconds by which the tick's run is put off: a hash, so that every kernel and test knows the same instant."""
    if not schedule.jitter_seconds:
        return 0.0
    digest = hashlib.blake2b(f"{schedule.name}\n{tick!r}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * schedule.jitter_seconds


def make_schedule(name: str, job: str, kind: Kind, spec: Any, *, plugin: str | None = None, **options: Any) -> Schedule:
    """A checked schedule; ConfigError naming the option, what was found and what was expected."""
    schedule = Schedule(name=name, job=job, kind=kind, spec=_check_spec(kind, spec, name), plugin=plugin)
    schedule = override(schedule, options)
    if schedule.start is not None and schedule.end is not None and schedule.end < schedule.start:
        raise ConfigError(f"end: {shown(options['end'])} lies before start, {shown(options['start'])}")
    if kind == "after":
        for option in ("timezone", "catch_up", "catch_up_window", "catch_up_max", "start", "end"):
            if option in options:
                raise ConfigError(f"{option}: an @after schedule ticks once at each start and has no such option")
    if schedule.anchor == "finish" and kind != "every":
        raise ConfigError(f'anchor: "finish" goes with every, not with {kind}')
    return schedule


def override(schedule: Schedule, options: dict[str, Any]) -> Schedule:
    """The schedule with ``options`` (as of a decorator, or of its table in plugins.toml) checked and put in."""
    values: dict[str, Any] = {}
    for option, value in options.items():
        if option in ("cron", "every", "after"):
            values["kind"], values["spec"] = option, _check_spec(option, value, schedule.name)  # type: ignore[arg-type] # narrowed by the line above
            continue
        if option not in _OPTIONS:
            raise ConfigError(f"{option}: no option of a schedule; expected one of {', '.join(_OPTIONS)}")
        try:
            field, checked = _OPTIONS[option](value)
        except ConfigError as error:
            raise ConfigError(f"{option}: {error}") from None
        values[field] = checked
    return replace(schedule, **values)


def _check_spec(kind: Kind, spec: Any, name: str) -> str:
    if kind == "cron":
        if not isinstance(spec, str):
            raise ConfigError(f'cron: {shown(spec)} is no cron expression: expected text such as "0 3 * * *"')
        CronExpression.parse(spec, name=name)
        return spec
    length = seconds(spec, zero=kind == "after")
    if kind == "every" and length < SHORTEST_SECONDS:
        raise ConfigError(f"every: {shown(spec)} is too short: expected at least 100 ms")
    return repr(length)


def _one_of(kind: Any) -> Any:
    names = get_args(kind)

    def check(value: object) -> str:
        if value in names:
            return str(value)
        raise ConfigError(f"{shown(value)}: expected one of {', '.join(names)}")

    return check


def _check_instant(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ConfigError(f'{shown(value)}: expected an instant such as "2026-01-31T09:00:00+01:00"') from None
    if not isinstance(value, datetime):
        raise ConfigError(f"{shown(value)}: expected a datetime, or ISO 8601 text")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _check_payload(value: object) -> str:
    if not isinstance(value, dict):
        raise ConfigError(f'{shown(value)}: expected an object such as {{"car_id": "42"}}')
    try:
        return encode(value)
    except NotJsonError as error:
        raise ConfigError(str(error)) from None


def _check_zone(value: object) -> str:
    zone_of(value)  # type: ignore[arg-type] # it refuses what is no text
    return str(value)


def _check_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{shown(value)}: expected true or false")


def _check_max(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000:
        return value
    raise ConfigError(f"{shown(value)}: expected a whole number from 1 to 10,000")


_OPTIONS: dict[str, Any] = {
    "timezone": lambda value: ("timezone", _check_zone(value)),
    "jitter": lambda value: ("jitter_seconds", 0.0 if value is None else seconds(value, zero=True)),
    "start": lambda value: ("start", _check_instant(value)),
    "end": lambda value: ("end", _check_instant(value)),
    "catch_up": lambda value: ("catch_up", _one_of(CatchUp)(value)),
    "catch_up_window": lambda value: ("catch_up_window_seconds", None if value is None else seconds(value)),
    "catch_up_max": lambda value: ("catch_up_max", _check_max(value)),
    "overlap": lambda value: ("overlap", _one_of(Overlap)(value)),
    "anchor": lambda value: ("anchor", _one_of(Literal["grid", "finish"])(value)),
    "payload": lambda value: ("payload", _check_payload(value)),
    "paused": lambda value: ("paused", _check_bool(value)),
}
SCHEDULE_OPTIONS = tuple(_OPTIONS)
