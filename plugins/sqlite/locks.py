"""Two locks beside the database file: one for the kernel's lifetime, one for each write transaction and checkpoint.

Neither is on the database file itself: closing it would drop SQLite's own locks. ``flock`` goes with the process.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from kernel.model.errors import ConfigError, StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ASKING_SECONDS = 0.3
"""A client that asks whether a kernel lives holds the lock for a moment; a starting kernel looks again for this long."""


class LockFile:
    def __init__(self, path: Path) -> None:
        self._file = _open(path)
        # A forked child that outlives this process must not go on holding what the process held.
        os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self)))

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def is_free(self) -> bool:
        """Whether nobody holds it just now."""
        if not self._try(fcntl.LOCK_SH):
            return False
        self.unlock()
        return True

    def unlock(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives back what is held, too."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def read(self) -> str:
        return os.pread(self._file, 1000, 0).decode("utf-8", "replace").strip()

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class KernelLock(LockFile):
    """Who holds it is the one kernel of the store; the file says its process id and, on the next line, its own."""

    def take(self, store: Path, kernel: str) -> None:
        until = time.monotonic() + _ASKING_SECONDS
        while not self.try_exclusive():
            if time.monotonic() > until:
                raise StoreLockedError(
                    f"{store}: another kernel runs on this store, process {self._line(0) or 'unknown'}; "
                    "stop it first, or give this one a store of its own"
                )
            time.sleep(0.02)
        self.write(f"{os.getpid()}\n{kernel}\n")

    def kernel(self) -> str:
        """The id of the kernel that took it last."""
        return self._line(1)

    def _line(self, number: int) -> str:
        lines = self.read().splitlines()
        return lines[number] if number < len(lines) else ""


class WriteLock(LockFile):
    """Before SQLite 3.51.3 two connections that write or checkpoint at one moment can corrupt the file."""

    @contextmanager
    def held(self, may_wait: Callable[[], bool]) -> Iterator[bool]:
        """Gives whether it was got; waits as long as ``may_wait``."""
        is_held = self.try_exclusive()
        pause = 0.0002
        while not is_held and may_wait():
            time.sleep(pause)
            pause = min(pause * 1.5, 0.005)
            is_held = self.try_exclusive()
        try:
            yield is_held
        finally:
            if is_held:
                self.unlock()


def _let_go(reference: weakref.ref[LockFile]) -> None:
    lock = reference()
    if lock is not None:
        lock.close()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: the lock cannot be opened: {error.strerror}; look at the folder's rights") from None
