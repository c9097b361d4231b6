"""The kernel's life as server-sent events, to many at once and at hardly any cost to the runs.

Nobody listens to the kernel while no stream is open, or was a minute ago. In a flood most events are not even made: they
are counted, by kind, and told as ``left_out``.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel import events

from .json_text import as_json
from .problem import Problem
from .stream import MOST_STREAMS, Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from kernel import Kernel
    from kernel.events import Event

MOST_A_SECOND = 1_000
MOST_OF_A_KIND = 250
"""A second: so that a flood of runs leaves room for what is seldom, as a failure."""
MOST_KEPT = 10_000
MOST_FILTERS = 50
STAY_SECONDS = 60.0
FLUSH_SECONDS = 0.1
MANY_STREAMS = 20
"""With more, they are written to less often, more at once, and in a flood less in all."""
LEAST_OF_A_KIND = 50
SLOWEST_FLUSH_SECONDS = 1.0
TOLD_SECONDS = 1.0
KINDS: dict[str, type[Event]] = {
    name: kind
    for name in events.__all__
    if (kind := getattr(events, name)) not in {events.Event, events.RunEvent, events.Completion, events.RunsCompleted}
}


class Filter(NamedTuple):
    """``kinds``: names of events; all when it is empty. With ``job`` only those that tell of it."""

    kinds: frozenset[str] = frozenset()
    job: str | None = None

    def is_for(self, kind: str, job: str | None) -> bool:
        return (not self.kinds or kind in self.kinds) and (self.job is None or job == self.job)


class _Kept(NamedTuple):
    """A message as it was sent. Of what was left out, ``only`` says to which filter that was told."""

    number: int
    kind: str
    job: str | None
    chunk: bytes
    only: Filter | None = None

    def is_for(self, wanted: Filter) -> bool:
        return wanted == self.only if self.only is not None else wanted.is_for(self.kind, self.job)


class _Group:
    """All streams with one filter. ``first``: the number from which on all that is for them was heard."""

    def __init__(self, streams: Streams, first: int) -> None:
        self.streams = streams
        self.first = first
        self.idle_since: float | None = None
        self.waiting: list[bytes] = []
        self.left_out: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()


class Feed:
    """One for the site. Each event is encoded once, whatever number of streams get it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._groups: dict[Filter, _Group] = {}
        self._kept: deque[_Kept] = deque(maxlen=MOST_KEPT)
        self._number = 0
        self._subscription: Any = None
        self._ending: Any = None
        self._flushing: asyncio.Task[None] | None = None
        self._second = 0.0
        self._encoded = 0
        self._most_of_a_kind = MOST_OF_A_KIND

    @property
    def streams(self) -> int:
        return sum(len(group.streams) for group in self._groups.values())

    @property
    def is_listening(self) -> bool:
        return self._subscription is not None

    async def serve(self, request: web.Request, wanted: Filter, last: str | None) -> web.StreamResponse:
        """From now on, or from the event after ``last`` on, where that is still known."""
        if self.streams >= MOST_STREAMS:
            raise Problem(503, "Too many streams", f"{MOST_STREAMS} are open already", headers={"Retry-After": "10"})
        group = self._groups.get(wanted) or self._new_group(wanted)
        self._listen()
        self.flush()  # what waits goes to those that are open already, and is kept for this one
        return await group.streams.serve(request, self._missed(group, wanted, last))

    def _new_group(self, wanted: Filter) -> _Group:
        over = self._kernel.clock.elapsed() - STAY_SECONDS
        idle = {one for one, group in self._groups.items() if group.idle_since is not None and group.idle_since <= over}
        if len(self._groups) - len(idle) >= MOST_FILTERS:
            text = f"streams with {MOST_FILTERS} different filters are open already, or were a minute ago"
            raise Problem(503, "Too many filters", text, headers={"Retry-After": "10"})
        for one in idle:
            del self._groups[one]
        self._number += 1  # so that no id of before is the last one of now: what was in between is not known
        group = self._groups[wanted] = _Group(Streams(lambda _: self._changed()), self._number + 1)
        return group

    def _missed(self, group: _Group, wanted: Filter, last: str | None) -> bytes:
        """What the stream begins with. Its id is where a client goes on that is cut off before the first event."""
        if last is None:
            return self._mark()
        number = self._number_of(last)
        oldest = self._kept[0].number if self._kept else self._number + 1
        if number is None or not max(oldest, group.first) - 1 <= number <= self._number:
            return f'id: {self._id(self._number)}\nevent: gap\ndata: {{"after": {as_json(last[:100])}}}\n\n'.encode()
        return b"".join([one.chunk for one in self._kept if one.number > number and one.is_for(wanted)]) or self._mark()

    def _mark(self) -> bytes:
        return f"id: {self._id(self._number)}\n\n".encode()

    def _id(self, number: int) -> str:
        return f"{self._kernel.id[:8]}-{number}"

    def _number_of(self, text: str) -> int | None:
        kernel, _, number = text.rpartition("-")
        is_ours = kernel == self._kernel.id[:8] and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if is_ours else None

    # Listening

    def _listen(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._subscription is None:
            self._subscription = self._kernel.bus.subscribe("web events", (), self._take)
            self._flushing = asyncio.create_task(self._flush_often(), name="mainspring:web:events")
        self._kernel.bus.listen_for(self._subscription, self._kinds())
        self._allow()

    def _kinds(self) -> tuple[type[Event], ...]:
        if any(not wanted.kinds for wanted in self._groups):
            return (events.Event,)
        return tuple({KINDS[kind] for wanted in self._groups for kind in wanted.kinds})

    def _changed(self) -> None:
        """A stream has come or gone."""
        now = self._kernel.clock.elapsed()
        for group in self._groups.values():
            group.idle_since = None if len(group.streams) else group.idle_since or now
        if self.streams == 0 and self._ending is None and self._subscription is not None:
            self._ending = self._kernel.clock.call_in(STAY_SECONDS, self._end)

    def _end(self) -> None:
        self._ending = None
        if self.streams == 0:
            self._stopping = asyncio.ensure_future(self._stop_listening())

    async def _stop_listening(self) -> None:
        subscription, self._subscription = self._subscription, None
        flushing, self._flushing = self._flushing, None
        self._groups.clear()
        self._kept.clear()
        if flushing is not None:
            flushing.cancel()
            await asyncio.wait({flushing})
        if subscription is not None:
            await self._kernel.bus.unsubscribe(subscription, 0.0)

    async def stop(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        for group in self._groups.values():
            group.streams.close()
        await self._stop_listening()

    # Telling

    async def _take(self, batch: Sequence[Event]) -> None:
        for event in batch:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        kind, job = type(event).__name__, getattr(event, "job", None)
        chosen = []
        for wanted, group in self._groups.items():
            if wanted.is_for(kind, job):
                if group.taken[kind] >= self._most_of_a_kind:
                    group.left_out[kind] += 1
                else:
                    group.taken[kind] += 1
                    chosen.append(group)
        if not chosen:
            return
        if self._encoded >= MOST_A_SECOND:
            for group in chosen:
                group.left_out[kind] += 1
            return
        self._encoded += 1
        chunk = self._keep(kind, job, as_json(event.as_json()))
        for group in chosen:
            group.waiting.append(chunk)

    def _keep(self, kind: str, job: str | None, data: str, only: Filter | None = None) -> bytes:
        self._number += 1
        chunk = f"id: {self._id(self._number)}\nevent: {kind}\ndata: {data}\n\n".encode()
        self._kept.append(_Kept(self._number, kind, job, chunk, only))
        return chunk

    async def _flush_often(self) -> None:
        # The pace of a network, not of the kernel's clock.
        while True:
            many = min(self.streams / MANY_STREAMS, SLOWEST_FLUSH_SECONDS / FLUSH_SECONDS)
            await asyncio.sleep(FLUSH_SECONDS * max(many, 1.0))
            self.flush()

    def flush(self) -> None:
        """Sends what waits; once a second tells what was left out, and lets as much in again."""
        now = self._kernel.clock.elapsed()
        if now - self._second >= TOLD_SECONDS:
            self._second = now
            self._tell_left_out()
            self._allow()
        for group in self._groups.values():
            if group.waiting:
                group.streams.send(b"".join(group.waiting))
                group.waiting.clear()

    def _tell_left_out(self) -> None:
        subscription = self._subscription
        unmade = {} if subscription is None else {kind.__name__: n for kind, n in subscription.left_out.items()}
        if subscription is not None:
            subscription.left_out.clear()
        for wanted, group in self._groups.items():
            # Of what was not made nobody knows the job; who wants one has all that he wants made.
            if wanted.job is None:
                group.left_out.update({kind: n for kind, n in unmade.items() if wanted.is_for(kind, None)})
            if group.left_out:
                group.waiting.append(self._keep("left_out", None, as_json(dict(group.left_out)), wanted))
                group.left_out.clear()

    def _allow(self) -> None:
        self._encoded = 0
        self._most_of_a_kind = max(MOST_OF_A_KIND * MANY_STREAMS // max(self.streams, MANY_STREAMS), LEAST_OF_A_KIND)
        for group in self._groups.values():
            group.taken.clear()
        if self._subscription is None:
            return
        # A stream of one job has to see each event to know whose it is.
        seen = {kind for wanted in self._groups if wanted.job is not None for kind in wanted.kinds or KINDS}
        self._subscription.quota = {kind: self._most_of_a_kind for name, kind in KINDS.items() if name not in seen}
