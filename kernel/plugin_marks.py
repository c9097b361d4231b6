"""Marks on the disk that say which plugin's code is running, so that one that kills the process is found out."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

MOST_DEATHS = 3


class Marks:
    """A file for each plugin whose code runs now; it holds how many starts have died in it. No folder, no marks."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def refusal(self, plugin: str, changed_at: int) -> str | None:
        """Why the plugin is not to be run; None when its code was changed since, at ``changed_at`` (nanoseconds)."""
        for path in self._paths(plugin):
            deaths = _deaths(path, changed_at)
            if deaths >= MOST_DEATHS:
                return f"{deaths} starts of the kernel died in it; mend its code, or delete {path} to try it again"
        return None

    @contextlib.contextmanager
    def while_running(self, plugin: str, changed_at: int, *, starting: bool = False) -> Iterator[None]:
        """The mark stands while the body runs, and stays when the process ends in it."""
        path = self._path(plugin, starting=starting)
        mark = None if path is None else _made(path, changed_at)
        try:
            yield
        finally:
            if path is not None and mark is not None:
                _remove(path)
                with contextlib.suppress(OSError):  # the plugin may have closed it
                    os.close(mark)

    def _paths(self, plugin: str) -> list[Path]:
        found = (self._path(plugin, starting=False), self._path(plugin, starting=True))
        return [path for path in found if path is not None]

    def _path(self, plugin: str, *, starting: bool) -> Path | None:
        return None if self._folder is None else self._folder / (f"{plugin}.start" if starting else plugin)


def _deaths(path: Path, changed_at: int) -> int:
    """How many starts have died in it; one that is in it just now has not."""
    try:
        mark = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        is_alive = not _locked(mark, fcntl.LOCK_SH)
        return _counted(mark, changed_at) - is_alive
    finally:
        os.close(mark)


def _made(path: Path, changed_at: int) -> int | None:
    """The open mark, with one start more in it, locked for as long as this process lives.

    None when it cannot be written, and when another kernel that starts in this folder is in the plugin just now: its mark
    will do for both.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _warn(path, error)
        return None
    try:
        if _locked(mark, fcntl.LOCK_EX):
            text = str(_counted(mark, changed_at) + 1).encode()
            os.ftruncate(mark, os.pwrite(mark, text, 0))
            return mark
    except OSError as error:
        _warn(path, error)
    os.close(mark)
    return None


def _locked(mark: int, how: int) -> bool:
    try:
        fcntl.flock(mark, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _counted(mark: int, changed_at: int) -> int:
    text = os.pread(mark, 16, 0).decode("ascii", "replace")
    if not text or os.fstat(mark).st_mtime_ns < changed_at:
        return 0
    return int(text) if text.isdecimal() and len(text) < 9 else 1


def _warn(path: Path, error: OSError) -> None:
    log.warning("%s cannot be written (%s): a plugin that kills the kernel will not be found out", path, error.strerror)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
