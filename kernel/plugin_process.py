"""What foreign code may change for the whole process: working folder, umask, sys.path, signal handlers, files 0 to 2."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessState:
    """Taken before foreign code runs; put back after."""

    def __init__(self) -> None:
        self._folder = _working_folder()
        self._umask = _umask()
        self._path = list(sys.path)
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._open = [number for number in (0, 1, 2) if _is_open(number)]

    def put_back(self) -> list[str]:
        """What had been changed, in words."""
        found = []
        if self._folder != _working_folder():
            found.append("the working folder was changed, and put back")
            with contextlib.suppress(OSError):
                os.chdir(self._folder)
        if self._umask is not None and self._umask != _umask():
            found.append("the umask was changed, and put back")
            os.umask(self._umask)
        if self._path != sys.path:
            found.append("sys.path was changed, and put back")
            sys.path[:] = self._path
        found += [f"file descriptor {number} was closed" for number in self._open if not _is_open(number)]
        return found + self._put_handlers_back()

    def _put_handlers_back(self) -> list[str]:
        changed = [number for number, handler in self._handlers.items() if signal.getsignal(number) != handler]
        for number in changed:
            with contextlib.suppress(ValueError, TypeError):  # not the main thread, or a handler that C code has set
                signal.signal(number, self._handlers[number])
        return [f"the handler of {number.name} was changed, and put back" for number in changed]


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def _umask() -> int | None:
    """Read from /proc, for os.umask() can only be asked by changing it under the other threads' feet."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return None


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
