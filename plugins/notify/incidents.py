"""What has happened, and what of it people are told when: a state machine without a clock, told the time by its caller.

An incident is what has the same key. One that lasts is told when it begins, now and then while it goes on, and when it is
over; what does not last (an info, a blocked loop) is told when it happens. In between, happenings are counted. That it is
over is told only of what was told, to whom it was told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel import Notice, words

from .allowance import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 1_000
"""So many incidents are known at once."""
GATHER_SECONDS = 1.0
"""For so long what does not last is gathered before it is told: a job's sixty reminders are one message."""
LONGEST_GAP_SECONDS = 4 * 3600.0
FORGOTTEN_SECONDS = 7 * 86400.0
_MOST_TEXTS = 200
_MOST_RUNS = 50
_TEXT = 1_000
_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(slots=True)
class Incident:
    """One key, and what became of it. Instants are epoch seconds.

    ``latest`` is the last happening; ``times`` counts those of the incident that is open, ``unsaid`` those since the last
    message. ``due``: when the next message is wanted. ``gap``: from one message of failure to the next.
    """

    latest: Notice
    lasts: bool
    since: float
    last: float
    gap: float
    is_open: bool = False
    is_said: bool = False
    times: int = 0
    unsaid: int = 0
    texts: list[str] = field(default_factory=list)
    contexts: list[dict[str, Any]] = field(default_factory=list)
    due: float | None = None
    said_at: float | None = None
    over_at: float | None = None
    told: list[str] = field(default_factory=list)
    """The channels that were told of it since it is open."""
    failed_in: dict[str, int] = field(default_factory=dict)
    """Of the newest runs it happened in: run -> attempt."""

    def as_json(self) -> dict[str, Any]:
        latest = {one.name: getattr(self.latest, one.name) for one in fields(Notice)}
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "latest": latest | {"context": dict(self.latest.context), "log": list(self.latest.log)}
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Incident:
        """TypeError or another error of the kind for what was not written by ``as_json``."""
        latest = dict(found["latest"])
        return cls(**dict(found) | {"latest": Notice(**latest | {"log": tuple(latest["log"])})})


class Message(NamedTuple):
    """A notice that is due, and by whose severity and kind it finds its way: those of what has happened, also when it is over.

    ``told``: of what is over the channels that know of it; None for what the rules are to say.
    """

    notice: Notice
    severity: str
    kind: str
    told: tuple[str, ...] | None = None


class Incidents:
    """``quiet_seconds``: between two messages of one key and state; ``per_minute``: messages in all."""

    def __init__(self, quiet_seconds: float = 300.0, per_minute: int = 20) -> None:
        self._quiet = quiet_seconds
        self._allowance = Allowance(per_minute)
        self._by_key: dict[str, Incident] = {}
        self._overflow = 0
        self._said: dict[tuple[str, str], float] = {}
        self.changed: set[str] = set()
        """Keys whose incident is another than the one that was written last."""

    def happened(self, key: str, notice: Notice, now: float, *, lasts: bool, counts: bool = True) -> None:
        """``counts``: False for what tells once more of a happening that was counted."""
        one = self._by_key.get(key)
        if one is None:
            one = self._new(key, notice, now, lasts=lasts)
            if one is None:
                return
        if not counts and one.is_open:
            return
        self.changed.add(key)
        if lasts and not one.is_open:
            self._open(one, now)
        one.latest, one.last = notice, now
        one.times += 1
        one.unsaid += 1
        if notice.run:
            one.failed_in.pop(notice.run, None)
            one.failed_in[notice.run] = notice.attempt
            while len(one.failed_in) > _MOST_RUNS:
                del one.failed_in[next(iter(one.failed_in))]
        if not lasts and len(one.texts) < _MOST_TEXTS:
            one.texts.append(notice.text[:_TEXT])
            one.contexts.append(dict(notice.context))
        if one.due is None:
            wanted = now if lasts else now + GATHER_SECONDS
            # What was said ahead of now was said before the clock was set back.
            said_at = -math.inf if one.said_at is None or one.said_at > now else one.said_at
            one.due = max(wanted, said_at + one.gap)

    def over(self, key: str, now: float) -> None:
        """What lasted does no longer; nothing for what is not open."""
        one = self._by_key.get(key)
        if one is None or not one.is_open:
            return
        self.changed.add(key)
        one.is_open, one.over_at = False, now
        one.failed_in.clear()
        # Of what nobody was told there is no end to tell: it stays counted for the next message.
        one.due = now if one.is_said else None

    def told(self, key: str, names: Iterable[str]) -> None:
        """Which channels got the last message of the incident."""
        one = self._by_key.get(key)
        if one is not None and one.is_said:
            one.told = [*dict.fromkeys([*one.told, *names])]

    def due(self, now: float) -> list[Message]:
        """The messages to send now, the gravest first. They count as sent."""
        for one in self._by_key.values():
            if one.due is not None and one.due > now + LONGEST_GAP_SECONDS:
                one.due = now  # the clock was set back
        wanted = [(key, one) for key, one in self._by_key.items() if one.due is not None and one.due <= now]
        wanted.sort(key=lambda item: (_ORDER[item[1].latest.severity], item[1].due))
        messages: list[Message] = []
        for at, (key, one) in enumerate(wanted):
            if one.is_open and one.is_said and not one.unsaid:
                one.due = None
                continue
            # Incidents that a job names may be many: of one job and kind it is one message all the same. Those that are over
            # are no more than were told.
            kind, is_over = (one.latest.job or key, one.latest.kind), one.lasts and not one.is_open
            if not is_over and now - self._quiet < self._said.get(kind, -math.inf) <= now:
                one.due = self._said[kind] + self._quiet
                continue
            if self._allowance.left(now) <= 0:
                messages = self._with_waiting(messages, len(wanted) - at)
                break
            self._allowance.take(now)
            if not is_over:
                self._said[kind] = now
            messages.append(self._message(key, one, now))
            self.changed.add(key)
        self._forget(now)
        return messages

    def next_at(self, now: float) -> float | None:
        """When ``due`` should be asked again; None: not before something happens."""
        wanted = [one.due for one in self._by_key.values() if one.due is not None]
        return max(min(wanted), self._allowance.next_at(now)) if wanted else None

    def open_ones(self) -> dict[str, Incident]:
        return {key: one for key, one in self._by_key.items() if one.is_open}

    def __getitem__(self, key: str) -> Incident | None:
        return self._by_key.get(key)

    def take_up(self, key: str, one: Incident) -> None:
        """What an earlier life has left, or another kernel has seen."""
        self._by_key[key] = one

    # Steps

    def _new(self, key: str, notice: Notice, now: float, *, lasts: bool) -> Incident | None:
        if len(self._by_key) >= MOST:
            idle = [one for one in self._by_key if self._by_key[one].due is None and not self._by_key[one].is_open]
            if not idle:
                self._overflow += 1
                return None
            self._drop(min(idle, key=lambda one: self._by_key[one].last))
        one = self._by_key[key] = Incident(notice, lasts, now, now, self._quiet)
        return one

    def _open(self, one: Incident, now: float) -> None:
        # When nobody has been told yet that it was over, it was not: it goes on.
        goes_on = one.is_said and one.over_at is not None and one.due is not None
        one.is_open, one.over_at = True, None
        if goes_on:
            one.due = None
        else:
            one.since, one.times, one.is_said, one.gap, one.told = now, 0, False, self._quiet, []

    def _message(self, key: str, one: Incident, now: float) -> Message:
        latest = one.latest
        unsaid, one.unsaid, one.due = one.unsaid, 0, None
        held_back = max(unsaid - 1, 0)
        common: dict[str, Any] = {"key": key, "times": one.times, "since": one.since, "held_back": held_back}
        if not one.lasts:
            texts, one.texts = one.texts, []
            contexts, one.contexts, one.said_at = one.contexts, [], now
            times, one.times = one.times, 0
            notice = replace(latest, **common | {"times": times, "since": None, "held_back": times - len(texts)})
            notice = _gathered(notice, texts, contexts) if times > 1 else notice
        elif one.is_open:
            is_first = not one.is_said
            one.gap = self._quiet if is_first else min(one.gap * 2, LONGEST_GAP_SECONDS)
            one.is_said, one.said_at = True, now
            state = "failing" if is_first else "still failing"
            notice = replace(latest, **common | {"state": state, "at": now if not is_first else latest.at})
            if not is_first:
                length = words(now - one.since)
                notice = replace(notice, text=f"still failing (×{one.times}) after {length}: {latest.text}")  # noqa: RUF001 - times, as people write it
            elif one.times > 1:
                notice = replace(notice, text=f"{latest.text} (×{one.times})")  # noqa: RUF001 - times, as people write it
        else:
            notice = replace(_over(one, now), **common | {"state": "recovered", "held_back": unsaid})
            knows, one.told = tuple(one.told), []
            one.is_said, one.times, one.gap = False, 0, self._quiet
            return Message(self._with_overflow(notice), latest.severity, latest.kind, knows)
        return Message(self._with_overflow(notice), latest.severity, latest.kind)

    def _with_overflow(self, notice: Notice) -> Notice:
        lost, self._overflow = self._overflow, 0
        if not lost:
            return notice
        return replace(
            notice, context={**notice.context, "not_told": f"{lost} others: more than {MOST} incidents at once"}
        )

    @staticmethod
    def _with_waiting(messages: list[Message], count: int) -> list[Message]:
        if not messages:
            return messages
        *before, last = messages
        context = {**last.notice.context, "waiting": f"{count} more messages: too many for one minute"}
        return [*before, last._replace(notice=replace(last.notice, context=context))]

    def _forget(self, now: float) -> None:
        self._said = {kind: at for kind, at in self._said.items() if at + self._quiet > now}
        for key, one in [*self._by_key.items()]:
            quiet = max(one.said_at or 0.0, one.last) + self._quiet
            is_idle = one.due is None and not one.is_open and not one.unsaid and now > quiet
            if is_idle or (one.due is None and now > one.last + FORGOTTEN_SECONDS):
                self._drop(key)

    def _drop(self, key: str) -> None:
        del self._by_key[key]
        self.changed.add(key)


def _over(one: Incident, now: float) -> Notice:
    over_at = now if one.over_at is None else one.over_at
    length = words(over_at - one.since)
    failed = f"it had failed {one.times} times" if one.times > 1 else "it had failed once"
    text = f"recovered after {length}: {failed}, last with: {one.latest.text}"
    latest = one.latest
    return Notice(
        at=over_at, severity="info", kind="recovered", text=text, job=latest.job, error=latest.error, since=one.since,
        context={"kind": latest.kind, "downtime_seconds": round(over_at - one.since, 3)},
    )  # fmt: skip


def _gathered(notice: Notice, texts: list[str], contexts: list[dict[str, Any]]) -> Notice:
    """Several that do not last as one, with what was told of each."""
    notice = replace(notice, context={"each": contexts})
    left_out = notice.times - len(texts)
    lines = [*dict.fromkeys(texts), *([f"and {left_out} more"] if left_out > 0 else [])]
    if len(lines) == 1:
        return replace(notice, text=f"{lines[0]} (×{notice.times})")  # noqa: RUF001 - times, as people write it
    return replace(notice, text="\n".join([f"{notice.times} notices:", *lines]))
