"""Schedules: when a job is enqueued by itself, which ticks are due, and what becomes of each."""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from kernel.model.cron import CronExpression
from kernel.model.duration import seconds, words
from kernel.model.errors import ConfigError, shown
from kernel.model.payload import NotJsonError, encode
from kernel.model.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["cron", "every", "after"]
CatchUp = Literal["skip", "latest", "all"]
Overlap = Literal["skip", "queue", "allow", "replace"]
Result = Literal["run", "skipped", "folded", "missed", "paused", "disabled"]

DAY = 86400.0
NOT_LATE_SECONDS = 3600.0
SHORTEST_SECONDS = 0.1
LATEST = datetime(9900, 1, 1, tzinfo=UTC).timestamp()
"""No schedule has a tick later than this: dates end in the year 9999."""


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
    ``paused``: by an operator, apart from the definition's own ``paused``. ``version`` grows by one with each change that
    is put, and not when the schedule is looked at or paused.
    """

    name: str
    definition: str
    dynamic: bool
    anchor: float
    looked_until: float
    paused: bool | None = None
    version: int = 1

    @property
    def schedule(self) -> Schedule:
        return Schedule.from_text(self.definition)


class Tick(NamedTuple):
    """The ledger's line: ``count`` ticks from ``first`` to ``last`` ended in one result; a run's line counts one."""

    schedule: str
    first: float
    last: float
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody asks of a ledger line
    result: str
    reason: str | None = None
    run: str | None = None


def newest(lines: Iterable[Iterable[Tick]], limit: int) -> list[Tick]:
    """The first of all these lists together, each of which has the newest line first."""
    return list(islice(merge(*lines, key=lambda line: -line.first), limit))


class Plan(NamedTuple):
    """What a look found: the ticks to run, oldest first, and the ledger lines of those that do not run."""

    runs: tuple[float, ...]
    folded: int
    ticks: tuple[Tick, ...]
    caught_up: bool


class Span(NamedTuple):
    """Ticks in a row: the first one, how many, and the last few of them in order."""

    first: float
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody asks of it
    tail: tuple[float, ...]

    def without_last(self, ticks: int) -> Span | None:
        """All but the last ones; None when nothing is left."""
        if self.count <= ticks:
            return None
        return Span(self.first, self.count - ticks, self.tail[: len(self.tail) - ticks])

    def line(self, schedule: str, result: Result, reason: str) -> Tick:
        return Tick(schedule, self.first, self.tail[-1], self.count, result, reason)


class Timing:
    """The due instants of one schedule: cron by its expression and zone, ``every`` by its grid.

    With ``anchor="finish"`` there is one tick, at the anchor: the next one is known when its run has ended.
    """

    __slots__ = ("_anchor", "_cron", "_end", "_interval", "_is_single", "_start", "_zone", "kind")

    def __init__(self, schedule: Schedule, anchor: float) -> None:
        self.kind = schedule.kind
        self._anchor = anchor
        self._start = schedule.start
        self._end = schedule.end
        self._zone = zone_of(schedule.timezone)
        self._is_single = schedule.anchor == "finish"
        self._cron: CronExpression | None = None
        if schedule.kind == "cron":
            self._cron = CronExpression.parse(schedule.spec, name=schedule.name)
        else:
            self._interval = schedule.interval

    def next_after(self, at: float) -> float | None:
        """The first tick after ``at``; None when there is none any more."""
        if self._start is not None and at < self._start:
            at = _just_before(self._start)
        if self._cron is not None:
            found = self._cron.next_after(at, self._zone)
        elif self.kind == "every":
            found = self._on_grid_after(at)
        else:
            found = None
        return None if found is None or found > self._last else found

    def between(self, after: float, until: float) -> Iterator[float]:
        """The ticks in (after, until], in order."""
        at = self.next_after(after)
        while at is not None and at <= until:
            yield at
            at = self.next_after(at)

    def span(self, after: float, until: float, keep: int) -> Span | None:
        """The ticks in (after, until] with the last ``keep`` of them; None when there is none.

        Those of cron are gone through one by one, those of ``every`` are calculated.
        """
        first = self.next_after(after)
        if first is None or first > until:
            return None
        if self._cron is None:
            return self._span_on_grid(first, min(until, self._last), keep)
        count, tail = 0, deque[float](maxlen=keep)
        for tick in self.between(after, until):
            count += 1
            tail.append(tick)
        return Span(first, count, tuple(tail))

    @property
    def _last(self) -> float:
        return LATEST if self._end is None else min(self._end, LATEST)

    def _on_grid_after(self, at: float) -> float | None:
        if self._is_single:
            return self._anchor if at < self._anchor else None
        return self._tick(self._step_after(at))

    def _span_on_grid(self, first: float, until: float, keep: int) -> Span:
        if self._is_single:
            return Span(first, 1, (first,))
        begin, end = self._step_after(_just_before(first)), self._step_after(until)
        return Span(first, end - begin, tuple(self._tick(step) for step in range(max(begin, end - keep), end)))

    def _tick(self, step: int) -> float:
        return self._anchor + step * self._interval

    def _step_after(self, at: float) -> int:
        """The first step of the grid whose tick lies after ``at``."""
        step = max(math.floor((at - self._anchor) / self._interval), 0)
        # The division may have been rounded over a tick, to either side.
        while step > 0 and self._tick(step - 1) > at:
            step -= 1
        while self._tick(step) <= at:
            step += 1
        return step


def _just_before(instant: float) -> float:
    return math.nextafter(instant, -math.inf)


def plan(schedule: Schedule, timing: Timing, looked_until: float, now: float, off: tuple[Result, str] | None) -> Plan:
    """What becomes of the ticks in (looked_until, now]: paused or disabled (``off``), window, catch_up; then overlap.

    A tick is late when it is an hour old, or when the next one has come.
    """
    first = timing.next_after(looked_until)
    if first is None or first > now:
        return Plan((), 0, (), caught_up=False)
    following = timing.next_after(first)
    if off is None and now - first < NOT_LATE_SECONDS and (following is None or following > now):
        return Plan((first,), 0, (), caught_up=False)
    if off is not None:
        whole = timing.span(looked_until, now, 1)
        return Plan((), 0, (whole.line(schedule.name, *off),) if whole else (), caught_up=False)
    window = schedule.catch_up_window_seconds
    if window is None:
        window = max(DAY, schedule.interval if schedule.kind == "every" else (following or first) - first)
    too_old = _just_before(now - window)
    keep = schedule.catch_up_max + 2
    old = timing.span(looked_until, min(too_old, now), keep)
    recent = timing.span(max(looked_until, too_old), now, keep)
    last = recent.tail[-1] if recent else old.tail[-1] if old else first
    runs_last = now - last < NOT_LATE_SECONDS or (schedule.catch_up == "latest" and recent is not None)
    if runs_last and recent is not None:
        recent = recent.without_last(1)
    elif runs_last and old is not None:
        old = old.without_last(1)
    return _plan_late(schedule, old, recent, (last,) if runs_last else ())


def _plan_late(schedule: Schedule, old: Span | None, recent: Span | None, last: tuple[float, ...]) -> Plan:
    """``old`` ticks lie before the catch-up window, ``recent`` ones in it; ``last`` runs whatever became of those."""
    runs: tuple[float, ...] = ()
    folded = 0
    lines = [] if old is None else [old.line(schedule.name, "missed", "older than the catch-up window")]
    if recent is not None:
        match schedule.catch_up:
            case "skip":
                lines.append(recent.line(schedule.name, "missed", "catch_up is skip"))
            case "latest":
                lines.append(recent.line(schedule.name, "folded", "a later tick runs for it"))
                folded = recent.count
            case "all":
                runs = recent.tail[-schedule.catch_up_max :]
                rest = recent.without_last(len(runs))
                if rest is not None:
                    reason = f"more than catch_up_max ({schedule.catch_up_max})"
                    lines.append(rest.line(schedule.name, "missed", reason))
    return Plan(runs + last, folded, tuple(lines), caught_up=bool(runs))


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
    for option in values.keys() & {"start", "end"}:
        values[option] = _instant(values[option], values.get("timezone", schedule.timezone))
    return replace(schedule, **values)


def _check_spec(kind: Kind, spec: Any, name: str) -> str:
    if kind == "cron":
        if not isinstance(spec, str):
            raise ConfigError(f'cron: {shown(spec)} is no cron expression: expected text such as "0 3 * * *"')
        CronExpression.parse(spec, name=name)
        return spec
    length = seconds(spec, zero=kind == "after", option=kind)
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


def _check_instant(value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ConfigError(f'{shown(value)}: expected an instant such as "2026-01-31T09:00:00+01:00"') from None
    if not isinstance(value, datetime):
        raise ConfigError(f"{shown(value)}: expected a datetime, or ISO 8601 text")
    return value


def _instant(value: datetime | None, timezone: str) -> float | None:
    """Epoch seconds; without an offset it is a time of the schedule's own zone."""
    if value is None:
        return None
    return (value if value.utcoffset() is not None else value.replace(tzinfo=zone_of(timezone))).timestamp()


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
