"""What one attempt has told (steps, progress, log lines) and the store does not have yet: its page in the notebook.

Written on by ``ctx`` and the log capture, from any thread; taken by the notebook, and in the end by the recorder.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.contracts.store import LOG_BYTES, Entry
from kernel.model.counted import counted
from kernel.model.errors import StaleAttemptError
from kernel.model.run import iso

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from kernel.contracts.clock import Clock
    from kernel.model.run import Claimed

LINE_BYTES = 8 * 1024
"""The most that is kept of one line of a log."""
LOG_SECONDS = 0.5
PROGRESS_SECONDS = 0.25

_LAST_LINES = 10
_LEVEL_BYTES = 20
_PROGRESS_BYTES = 1000
_OVERHEAD = 100
_HELD_BYTES = LOG_BYTES - 4 * 1024
"""No more than the store would keep, and a line that tells of those that were dropped."""


class Line(NamedTuple):
    """One line of a run's log; ``at`` in epoch seconds."""

    at: float
    attempt: int
    level: str
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"at": iso(self.at), "attempt": self.attempt, "level": self.level, "text": self.text}


class Noted(NamedTuple):
    """An entry for the store, with what its events need, and who waits for it to be written."""

    entry: Entry
    run: Claimed
    lines: Sequence[Line] = ()
    written: asyncio.Future[bool] | None = None

    def arrived(self, *, was_current: bool) -> None:
        """Tells who waits for it."""
        if self.written is not None and not self.written.done():
            self.written.set_result(was_current)

    def newest_lines(self, characters: int) -> Sequence[Line]:
        """The last lines, about so many characters in all, and at least one."""
        at = len(self.lines)
        while at > 0 and (characters > 0 or at == len(self.lines)):
            at -= 1
            characters -= len(self.lines[at].text)
        return self.lines[at:]


class Page:
    """``add`` and ``report`` may be called by any thread, the rest on the loop.

    ``want`` is told of what is new, with the seconds after which it should be written at the latest.
    """

    __slots__ = (
        "_clock", "_dropped", "_held", "_last", "_lines", "_lock", "_progress", "_progress_at", "_steps", "_want",
        "is_stale", "run", "writing",
    )  # fmt: skip

    def __init__(self, run: Claimed, clock: Clock, lock: threading.RLock, want: Callable[[Page, float], None]) -> None:
        self.run = run
        self.is_stale = False
        """Whether the store has refused an entry: the run is another attempt's now."""
        self.writing: asyncio.Future[None] | None = None
        """Done when what is on its way to the store has arrived, or has come back."""
        self._clock = clock
        self._lock = lock
        self._want = want
        self._lines: deque[Line] = deque()
        self._last: deque[Line] = deque(maxlen=_LAST_LINES)
        self._held = 0
        self._dropped = 0
        self._progress: tuple[float, str] | None = None
        self._progress_at = -math.inf
        self._steps: list[tuple[str, str, asyncio.Future[bool]]] = []

    def add(self, level: str, text: str) -> None:
        """One line of log, cut to 8 KiB. Of more lines than the store would keep, the oldest are dropped and counted."""
        line = Line(self._clock.now(), self.run.attempt, _cut(level, _LEVEL_BYTES), _cut(text, LINE_BYTES))
        with self._lock:
            if self.is_stale:
                return
            is_first = not self._lines
            self._lines.append(line)
            self._last.append(line)
            self._held += _size(line)
            while self._held > _HELD_BYTES:
                self._held -= _size(self._lines.popleft())
                self._dropped += 1
        if is_first:
            self._want(self, LOG_SECONDS)

    def last_lines(self) -> tuple[str, ...]:
        """The last ten lines, each with its time and level, whether they have been written or not."""
        with self._lock:
            return tuple(f"{iso(line.at)} {line.level} {line.text}" for line in self._last)

    def report(self, fraction: float, text: str) -> None:
        """Progress: the newest counts. StaleAttemptError when the run is another attempt's."""
        if self.is_stale:
            raise StaleAttemptError(self.run.id, self.run.attempt)
        with self._lock:
            is_first = self._progress is None
            self._progress = (fraction, _cut(text, _PROGRESS_BYTES).replace("\x00", "\\x00"))
        if is_first:
            self._want(self, self._progress_at + PROGRESS_SECONDS - self._clock.elapsed())

    def record(self, name: str, result: str) -> asyncio.Future[bool]:
        """Whether the step was written, once that is known; False: the run is another attempt's."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._steps.append((name, result, written))
        self._want(self, 0.0)
        return written

    async def last_words(self) -> list[Noted]:
        """What the store does not have when the attempt has ended."""
        while self.writing is not None:
            await asyncio.wait({self.writing})
        return self.take(is_last=True)

    def take(self, *, is_last: bool = False) -> list[Noted]:
        """What is to be written now; progress that would come too soon after the last one stays."""
        elapsed = self._clock.elapsed()
        with self._lock:
            steps, self._steps = self._steps, []
            lines, self._lines, self._held = self._lines, deque(), 0
            dropped, self._dropped = self._dropped, 0
            progress, wait = self._progress, self._progress_at + PROGRESS_SECONDS - elapsed
            is_too_soon = progress is not None and wait > 0 and not is_last
            if is_too_soon:
                progress = None
            else:
                self._progress, self._progress_at = None, self._progress_at if progress is None else elapsed
        if is_too_soon:
            self._want(self, wait)
        run = self.run
        noted = [Noted(Entry(run.id, run.token, (name, result)), run, (), written) for name, result, written in steps]
        if dropped:
            lines.appendleft(lines[0]._replace(level="warning", text=_dropped_in_words(dropped)))
        if lines or progress is not None:
            text = "".join(json.dumps(line.as_json(), ensure_ascii=False) + "\n" for line in lines)
            noted.append(Noted(Entry(run.id, run.token, progress=progress, log=text or None), run, tuple(lines)))
        return noted

    def put_back(self, noted: Sequence[Noted]) -> None:
        """What was taken and could not be written, before what has been told since."""
        with self._lock:
            for one in reversed(noted):
                if one.entry.step is not None and one.written is not None:
                    self._steps.insert(0, (*one.entry.step, one.written))
                self._progress = self._progress or one.entry.progress
                for line in reversed(one.lines):
                    if self._dropped or self._held + _size(line) > _HELD_BYTES:
                        self._dropped += 1
                    else:
                        self._lines.appendleft(line)
                        self._held += _size(line)


def _dropped_in_words(count: int) -> str:
    return f"{counted(count, 'line was', 'lines were')} dropped here, as more came than could be written"


def _size(line: Line) -> int:
    """About what it takes in the store."""
    return _OVERHEAD + (len(line.text) if line.text.isascii() else len(line.text.encode()))


def _cut(text: str, limit: int) -> str:
    """At most so many bytes of UTF-8, whatever was in it."""
    raw = text[: limit + 1].encode("utf-8", "backslashreplace")
    return raw.decode() if len(raw) <= limit else raw[: limit - 3].decode("utf-8", "ignore") + "…"
