"""Tells events to listeners, each by a bounded inbox of its own. Called by whoever knows a fact; publishing never waits.

A listener that is slow or broken loses its own events, counted and told, and harms nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

from kernel.model.counted import counted
from kernel.model.events import Event, EventsDropped, RunsCompleted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kernel.contracts.clock import Clock

log = logging.getLogger(__name__)

INBOX = 10_000
BATCH = 500


class Subscription:
    """One listener: its inbox and the task that empties it."""

    def __init__(
        self,
        name: str,
        kinds: tuple[type[Event], ...],
        tell: Callable[[Sequence[Event]], Awaitable[None]],
        report: Callable[[str, int], None],
    ) -> None:
        self.name = name
        self.kinds = kinds
        self.dropped = 0
        self.quota: dict[type[Event], int] = {}
        """Kind -> how many more of it are taken, for a listener that puts that up again; of other kinds, as many as come."""
        self.left_out: Counter[type[Event]] = Counter()
        """Past a quota: in a flood most of these need not even be made."""
        self._tell = tell
        self._report = report
        self._inbox: deque[Event] = deque()
        self._held = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._unreported = 0
        self._task = asyncio.create_task(self._deliver(), name=f"mainspring:events:{name}")

    def has_room(self, kind: type[Event]) -> bool:
        return self._held < INBOX and (not self.quota or self.quota.get(kind, 1) > 0)

    def leave_out(self, kind: type[Event], count: int) -> None:
        """So many of this kind are not told to it: it has no room for more, or has set itself a quota."""
        if self.quota and self.quota.get(kind, 1) <= 0:
            self.left_out[kind] += count
        else:
            self.drop(count)

    def drop(self, count: int) -> None:
        """So many events are not told to it."""
        if not self._unreported:
            log.warning("%s does not keep up: events are not told to it from now on", self.name)
        self.dropped += count
        self._unreported += count

    def put(self, event: Event) -> None:
        if self._held >= INBOX:
            self.drop(event.weight)
            return
        if self.quota and (left := self.quota.get(type(event))) is not None:
            if left <= 0:
                self.left_out[type(event)] += event.weight
                return
            self.quota[type(event)] = left - 1
        self._held += event.weight
        self._inbox.append(event)
        self._filled.set()
        self._emptied.clear()

    async def close(self, seconds: float) -> None:
        """Tells what is left, for so long at the most."""
        waiting = asyncio.ensure_future(self._emptied.wait())
        await asyncio.wait({waiting, self._task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, self._task):
            task.cancel()
        await asyncio.wait({waiting, self._task}, timeout=1.0)

    async def _deliver(self) -> None:
        while True:
            await self._filled.wait()
            batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), BATCH))]
            self._held -= sum([event.weight for event in batch])
            if self._unreported:
                count, self._unreported = self._unreported, 0
                self._report(self.name, count)
            try:
                await self._tell(batch)
            except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt):
                if self._task.cancelling():
                    raise
                log.exception("%s: telling it %s failed", self.name, counted(len(batch), "event"))
            if not self._inbox:
                self._filled.clear()
                self._emptied.set()


class EventBus:
    """Publishes to whoever subscribed to an event's class or one of its bases."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscriptions: list[Subscription] = []
        self._by_kind: dict[type[Event], tuple[Subscription, ...]] = {}

    def wants(self, kind: type[Event], count: int = 1) -> bool:
        """Whether anybody listens to this kind and has room: if not, the event need not be made.

        ``count``: how many there would be; they are counted as dropped when who listens has no room for any.
        """
        listeners = self._by_kind.get(kind)
        if listeners is None:
            listeners = self._listeners(kind)
        if not listeners:
            return False
        for one in listeners:
            if one.has_room(kind):
                return True
        if count:
            for one in listeners:
                one.leave_out(kind, count)
        return False

    def skipped(self, kind: type[Event], count: int) -> None:
        """So many of this kind were not made, since nobody had room for them."""
        for one in self._listeners(kind):
            one.leave_out(kind, count)

    def publish(self, event: Event) -> None:
        for subscription in self._listeners(type(event)):
            subscription.put(event)

    def subscribe(
        self, name: str, kinds: tuple[type[Event], ...], tell: Callable[[Sequence[Event]], Awaitable[None]]
    ) -> Subscription:
        """From now on ``tell`` gets lists of the events of these kinds, in order, one list at a time."""
        subscription = Subscription(name, kinds, tell, self._tell_of_drops)
        self._subscriptions.append(subscription)
        self._by_kind.clear()
        return subscription

    def listen_for(self, subscription: Subscription, kinds: tuple[type[Event], ...]) -> None:
        """From now on it gets these kinds."""
        subscription.kinds = kinds
        self._by_kind.clear()

    def _tell_of_drops(self, listener: str, count: int) -> None:
        log.warning("%s keeps up again: %s not told to it", listener, counted(count, "event was", "events were"))
        self.publish(EventsDropped(self._clock.now(), listener, count))

    async def unsubscribe(self, subscription: Subscription, seconds: float = 1.0) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._by_kind.clear()
            await subscription.close(seconds)

    async def close(self, seconds: float = 2.0) -> None:
        """Tells what is left in the inboxes, all listeners at once."""
        await asyncio.gather(*(self.unsubscribe(one, seconds) for one in list(self._subscriptions)))

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        return self._subscriptions

    def _listeners(self, kind: type[Event]) -> tuple[Subscription, ...]:
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(one for one in self._subscriptions if _is_for(kind, one.kinds))
            self._by_kind[kind] = found
        return found


def _is_for(kind: type[Event], kinds: tuple[type[Event], ...]) -> bool:
    # What it tells is told to all others by RunCompleted.
    return kind in kinds if kind is RunsCompleted else issubclass(kind, kinds)
