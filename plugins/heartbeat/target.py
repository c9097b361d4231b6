"""One check of one service: its pings go out in order, one at a time, and nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .dialects import DIALECTS, dialect_of, split

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .dialects import Ping
    from .settings import Check

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
WAITS_SECONDS = (1.0, 4.0)
"""Before the second and the third try."""
_LONGEST_WAIT_SECONDS = 30.0
_MOST_WAITING = 100
_AGAIN = {408, 425, 429}


class Answer(NamedTuple):
    """``problem`` is empty when the service took it. ``may_help``: to try again, after ``wait`` seconds if it says so."""

    problem: str = ""
    may_help: bool = False
    wait: float = 0.0


class Sender:
    """Asks for URLs, with one pool of connections for all checks, made at first use. Says nothing of a URL but its host."""

    def __init__(self, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._session: Any = None
        self._opening = asyncio.Lock()

    async def get(self, url: str) -> Answer:
        async with self._opening:
            if self._session is None:
                aiohttp = await asyncio.to_thread(import_module, "aiohttp")  # slow, and the loop must not wait for it
                limit = aiohttp.ClientTimeout(total=self._timeout)
                agent = {"User-Agent": "mainspring-heartbeat"}
                self._session = aiohttp.ClientSession(timeout=limit, headers=agent, cookie_jar=aiohttp.DummyCookieJar())
                self._error = aiohttp.ClientError
        try:
            # Where it would be led to, nobody has written into the settings.
            async with self._session.get(_exact(url), allow_redirects=False) as response:
                return _judged(response.status, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return Answer(f"gave no answer within {self._timeout:g} s", may_help=True)
        except (self._error, OSError, ValueError) as error:
            # Their texts may repeat the URL.
            return Answer(f"cannot be reached: {_kind(error)}", may_help=True)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Target:
    """``tell`` never waits. ``on_trouble`` and ``on_recovery`` are called once for each time that the service is in trouble."""

    def __init__(
        self,
        name: str,
        check: Check,
        sender: Sender,
        *,
        sleep: Callable[[float], Awaitable[None]],
        elapsed: Callable[[], float],
        on_trouble: Callable[[Target, str], None],
        on_recovery: Callable[[Target, float], None],
    ) -> None:
        self._url = split(check.url.get_secret_value())
        self._words = DIALECTS[check.dialect or dialect_of(self._url) or ""]
        self.name = name
        self.host = self._url.hostname or ""
        self.problem = ""
        """What is wrong with the service; empty while it takes what it is sent."""
        self.was_told = False
        """Whether it has ever taken a ping."""
        self.left_out = 0
        """Pings that gave way to newer ones."""
        self._sender = sender
        self._sleep = sleep
        self._elapsed = elapsed
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._since = 0.0

    def tell(self, ping: Ping) -> None:
        """Where too many wait, the oldest one goes: what holds now is what the service has to know."""
        url = self._words(self._url, ping)
        if url is None:
            return
        self.left_out += len(self._waiting) == _MOST_WAITING
        self._waiting.append(url)
        if self._task is None:
            self._task = asyncio.create_task(self._send_all(), name=f"mainspring:heartbeat:{self.name}")

    async def stop(self, seconds: float) -> None:
        """What waits may go out for so long."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                self._judge(await self._send(self._waiting.popleft()))
        finally:
            self._task = None

    async def _send(self, url: str) -> str:
        """What was wrong at the last try."""
        answer = await self._sender.get(url)
        for wait in WAITS_SECONDS:
            if not answer.may_help:
                break
            await self._sleep(min(max(answer.wait, wait), _LONGEST_WAIT_SECONDS))
            answer = await self._sender.get(url)
        return answer.problem

    def _judge(self, problem: str) -> None:
        before, self.problem = self.problem, problem
        self.was_told = self.was_told or not problem
        if problem and not before:
            self._since = self._elapsed()
            self._on_trouble(self, problem)
        elif before and not problem:
            self._on_recovery(self, self._elapsed() - self._since)


def _judged(status: int, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer()
    seconds = float(retry_after) if re.fullmatch("[0-9]{1,6}", retry_after) else 0.0
    hint = "" if status >= 500 or status in _AGAIN else ": is its URL right?"
    return Answer(f"answered {status}{hint}", status >= 500 or status in _AGAIN, seconds)


def _exact(url: str) -> Any:
    """As it was made: what is escaped in it stays so."""
    return import_module("yarl").URL(url, encoded=True)


def _kind(error: BaseException) -> str:
    text = getattr(error, "strerror", None)
    return text if isinstance(text, str) and text else type(error).__name__
