"""Tells pages that are open what has changed, by topic, at most once a second; they then ask for themselves anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel import Periodic

from .heard import TOPIC_OF
from .stream import Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from kernel import Kernel
    from kernel.events import Event

TOPICS = ("runs", "schedules", "queues", "plugins", "health")
LOOK_SECONDS = 1.0
_ALL_EVERY = 5
"""Looks after which every topic is told: others than this kernel change the store too, and time goes on by itself."""


class Live:
    """What runs do is read off the kernel's own counters, so that an open page costs a run nothing."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.streams = Streams()
        self._changed: set[str] = set()
        self._seen: Any = None
        self._looks = 0
        self._looking = Periodic("web", LOOK_SECONDS, self.look, kernel.clock)

    async def start(self) -> None:
        await self._looking.start()

    async def stop(self) -> None:
        await self._looking.stop()
        self.streams.close()

    def hear(self, events: Sequence[Event]) -> None:
        self._changed.update(TOPIC_OF[type(event)] for event in events if type(event) in TOPIC_OF)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        return await self.streams.serve(request)

    async def look(self) -> None:
        """Tells what has changed since the last look."""
        if not self.streams:
            return
        self._looks += 1
        figures = self._kernel.figures()
        seen = (
            figures["running"],
            figures["ticks"],
            {name: rows.count for name, (rows, _) in figures["store_batches"].items()},
        )
        if seen != self._seen:
            self._changed |= {"runs", "queues"}
            if self._seen is not None and seen[1] != self._seen[1]:
                self._changed.add("schedules")
            self._seen = seen
        if self._looks % _ALL_EVERY == 0:
            self._changed.update(TOPICS)
        if self._changed:
            told = " ".join(topic for topic in TOPICS if topic in self._changed)
            self._changed.clear()
            self.streams.send(f"event: changed\ndata: {told}\n\n".encode())
