"""Writes lines in a thread of its own: whoever has something to say never waits for a slow pipe or terminal."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, TextIO

from kernel.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_WAITING = 10_000


class LineWriter:
    """``put`` takes what makes the line, to be called in the thread. Past 10,000 that wait, the rest is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: SimpleQueue[Callable[[], str] | None] = SimpleQueue()
        self._dropped = 0
        self._is_gone = False
        self._thread = threading.Thread(target=self._work, name="mainspring:lines", daemon=True)
        self._thread.start()

    def put(self, line: Callable[[], str]) -> None:
        if self._waiting.qsize() >= MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.put(line)

    def close(self, seconds: float = 1.0) -> bool:
        """Writes what is left, for so long at the most; False when the stream takes nothing and must be left alone."""
        self._waiting.put(None)
        self._thread.join(seconds)
        return not (self._is_gone or self._thread.is_alive())

    def _work(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._write(line)
            if self._dropped and self._waiting.empty():
                self._tell_dropped()
            if self._waiting.empty():
                self._flush()
        if self._dropped:
            self._tell_dropped()
        self._flush()

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        self._write(lambda: f"{counted(dropped, 'line was', 'lines were')} dropped, as more came than was read")

    def _write(self, line: Callable[[], str]) -> None:
        if self._is_gone:
            return
        try:
            self._stream.write(line() + "\n")
        except (OSError, ValueError):
            # Nobody reads any more (the pipe is closed), which is no reason to stop working.
            self._is_gone = True

    def _flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._is_gone = True
