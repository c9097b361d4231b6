"""What one channel has to send: in order, one at a time, tried again until it is taken. Whoever puts a notice in never waits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from .allowance import Allowance
from .channel import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kernel import Notice
    from kernel.contracts.clock import Clock

    from .channel import Channel

log = logging.getLogger(__name__)

MOST = 1_000
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 300.0
_TRIES_OF_REFUSED = 3
_TEXT = 8_000
CHANNEL_FAILED = "channel_failed"


class Outbox:
    """``on_change`` is told when what waits has changed, ``on_trouble`` of each try that failed, ``on_works`` of the first one
    after these that did not.
    """

    def __init__(
        self, name: str, channel: Channel, clock: Clock, *, timeout_seconds: float = 10.0, per_minute: int = 20,
        on_change: Callable[[], None] = lambda: None,
        on_trouble: Callable[[str, str], None] = lambda _name, _problem: None,
        on_works: Callable[[str], None] = lambda _name: None,
    ) -> None:  # fmt: skip
        self.name = name
        self.trouble = ""
        """Why the last try failed; empty when it did not."""
        self.troubled_since: float | None = None
        self.lost = 0
        """How many notices were given up since one was sent."""
        self._channel = channel
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._allowance = Allowance(per_minute)
        self._on_change, self._on_trouble, self._on_works = on_change, on_trouble, on_works
        self._queue: deque[Notice] = deque()
        self._sending: Notice | None = None
        self._failures = 0
        self._tries = 0
        self._has_failed = False
        self._filled = asyncio.Event()
        self._emptied: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, waiting: Iterable[Notice] = (), *, has_failed: bool = False) -> None:
        """``has_failed``: in an earlier life, which people were told; they are to hear that it works."""
        self._has_failed = has_failed
        for notice in waiting:
            self.put(notice)
        self._task = asyncio.create_task(self._work(), name=f"mainspring:notices:{self.name}")

    async def stop(self, within: float) -> None:
        """What waits is sent, if that goes at once and within so many seconds; the rest is kept in the store."""
        if self._task is None:
            return
        if self._queue and not self._failures:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._emptied, self._task}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=within)
        await self._channel.close()

    @property
    def waiting(self) -> list[Notice]:
        return [*self._queue]

    def put(self, notice: Notice) -> None:
        """Takes the place of an older one of the same incident that has not gone out: what it tells holds no longer."""
        self._queue = deque(with_newest(self._queue, notice, self._sending))
        while len(self._queue) > MOST:
            self._queue.popleft()
            self.lost += 1
        self._filled.set()

    # Sending

    async def _work(self) -> None:
        while True:
            await self._filled.wait()
            if not self._queue:
                self._filled.clear()
                continue
            now = self._clock.elapsed()
            if self._allowance.left(now) <= 0:
                await self._sleep(self._allowance.next_at(now) - now)
                continue
            self._allowance.take(now)
            self._sending = self._queue[0]
            error = await self._try(self._sending)
            sent, self._sending = self._sending, None
            if error is None:
                self._taken(sent)
            else:
                wait = self._wait_after(sent, error)
                self._let_go()
                await self._sleep(wait)
            if not self._queue:
                self._let_go()

    def _let_go(self) -> None:
        """There is nothing more to wait for at the end."""
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def _try(self, notice: Notice) -> DeliveryError | None:
        if self.lost:
            context = {**notice.context, "not_sent": f"{self.lost} notices before this one could not be sent"}
            notice = replace(notice, context=context)
        try:
            # A channel may forget its own limit, or sit in a look-up of a name that knows none.
            async with asyncio.timeout(self._timeout_seconds + 0.5):
                await self._channel.send(notice)
        except DeliveryError as error:
            return error
        except TimeoutError:
            return DeliveryError(f"no answer within {self._timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - the border to foreign libraries; their texts may have secrets in them
            return DeliveryError(type(error).__name__)
        return None

    def _taken(self, notice: Notice) -> None:
        self._drop(notice)
        self.lost = self._tries = self._failures = 0
        if self._has_failed:
            self.trouble, self.troubled_since, self._has_failed = "", None, False
            # As loud as that they were not: a terminal shows no less.
            log.warning("notices by %s are sent again", self.name)
            self._on_works(self.name)
        self._on_change()

    def _wait_after(self, notice: Notice, error: DeliveryError) -> float:
        self.trouble = str(error)
        self._failures += 1
        self._tries += 1
        self._has_failed = True
        if self.troubled_since is None:
            self.troubled_since = self._clock.now()
            log.warning("a notice by %s could not be sent and is tried again: %s", self.name, error)
        self._on_trouble(self.name, self.trouble)
        if error.is_final and self._tries >= _TRIES_OF_REFUSED:
            # It would keep the others from being sent for ever.
            self._drop(notice)
            self.lost += 1
            self._tries = 0
            log.warning("a notice by %s is given up, it was refused %d times: %s", self.name, _TRIES_OF_REFUSED, error)
            self._on_change()
        wait = min(_FIRST_WAIT * 2 ** min(self._failures - 1, 20), _LONGEST_WAIT)
        return wait if error.retry_after_seconds is None else max(error.retry_after_seconds, _FIRST_WAIT)

    def _drop(self, notice: Notice) -> None:
        self._queue = deque(one for one in self._queue if one is not notice)

    async def _sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_in(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()


def with_newest(waiting: Iterable[Notice], notice: Notice, sending: Notice | None = None) -> Sequence[Notice]:
    """What is to be sent when ``notice`` comes: of one incident the newest, of what is none all in one.

    Of a channel that works again before its failure went out nothing: two that shared a network would tell of one another.
    """
    kept: list[Notice] = []
    is_void = False
    for one in waiting:
        if not notice.key or one.key != notice.key or one is sending:
            kept.append(one)
        elif notice.state == "recovered" and one.state == "failing" and one.kind == CHANNEL_FAILED:
            is_void = True
        elif not notice.state:
            text = f"{one.text}\n{notice.text}"
            notice = replace(
                notice,
                text=text if len(text) <= _TEXT else text[: _TEXT - 1] + "…",
                times=one.times + notice.times,
                held_back=one.held_back + notice.held_back,
            )
    return kept if is_void else [*kept, notice]
