"""Where workers note what they have done: a few numbers in a file that all processes of a part have in memory."""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SLOT = struct.Struct("=qqd")
_DONE = struct.Struct("=q")
_BEGUN = struct.Struct("=qd")


class Board:
    """As the part reads it: one slot for each worker."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.path = folder / "board"
        self.path.write_bytes(bytes(_SLOT.size * slots))
        self._map = _mapped(self.path)
        self._slots = slots

    def done(self) -> int:
        """How many runs all workers have executed."""
        return sum(int(_SLOT.unpack_from(self._map, _SLOT.size * number)[0]) for number in range(self._slots))

    def begun(self) -> tuple[int, float]:
        """How many timed runs the first worker has begun, and when the last one (``time.time``)."""
        _, count, instant = _SLOT.unpack_from(self._map, 0)
        return count, instant


class Slot:
    """As one worker writes it."""

    def __init__(self, path: Path, number: int) -> None:
        self._map = _mapped(path)
        self._offset = _SLOT.size * number
        self._done = 0
        self._begun = 0
        self.begun_at = 0.0
        self.has_begun = asyncio.Event()

    def ran(self, count: int = 1) -> None:
        """So many more no-op runs were executed."""
        self._done += count
        _DONE.pack_into(self._map, self._offset, self._done)

    def begin(self, instant: float | None = None) -> None:
        """A timed run begins now, or began then."""
        self.begun_at = time.time() if instant is None else instant
        self._begun += 1
        _BEGUN.pack_into(self._map, self._offset + _DONE.size, self._begun, self.begun_at)
        self.has_begun.set()


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
