"""Marks on the disk that say which plugin's code is running, so that one that kills the process is found out."""

from __future__ import annotations

import contextlib
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
        if path is not None:
            _write(path, _deaths(path, changed_at) + 1)
        try:
            yield
        finally:
            if path is not None:
                _remove(path)

    def _paths(self, plugin: str) -> list[Path]:
        found = (self._path(plugin, starting=False), self._path(plugin, starting=True))
        return [path for path in found if path is not None]

    def _path(self, plugin: str, *, starting: bool) -> Path | None:
        return None if self._folder is None else self._folder / (f"{plugin}.start" if starting else plugin)


def _deaths(path: Path, changed_at: int) -> int:
    try:
        if path.stat().st_mtime_ns < changed_at:
            return 0
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    # A mark that was being written when the process died counts as one.
    return int(text) if text.isdecimal() and len(text) < 9 else 1


def _write(path: Path, deaths: int) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - it has no path, only a descriptor
            file.write(str(deaths))
    except OSError as error:
        log.warning(
            "%s cannot be written (%s): a plugin that kills the kernel will not be found out", path, error.strerror
        )


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
