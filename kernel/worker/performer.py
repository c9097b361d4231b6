"""Makes an attempt from its text: loads the job's plugin, once for each code and settings, and calls the job."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from typing import TYPE_CHECKING

from kernel.flow.answer import unloadable
from kernel.flow.remote import RemoteAttempt
from kernel.model.errors import ConfigError
from kernel.plugin_copy import load_copy
from kernel.plugin_error import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.model.job import Job

_LOG_CHARACTERS = 64 * 1024


def perform(text: str, tell: Callable[[str], None] | None = None) -> str:
    """The answer to ``Work.as_text()``, for an executor to bring home. Blocks; raises nothing that the job raises.

    ``tell`` gets, from any thread, what the job says by ``ctx.log`` and ``ctx.progress`` meanwhile: for ``Work.tell``.
    """
    try:
        attempt, job = _attempt_of(text, tell or _untold)
    except ConfigError as error:
        return unloadable(error)
    if tell is None:
        return attempt.make()
    logger = logging.getLogger(f"mainspring.job.{job.name}")
    teller = Teller(tell, attempt.run)
    logger.addHandler(teller)
    try:
        return attempt.make()
    finally:
        logger.removeHandler(teller)


def attempt_of(text: str, tell: Callable[[str], None]) -> RemoteAttempt:
    """The attempt, ready to be made; ConfigError when the plugin does not load, or has no such job."""
    return _attempt_of(text, tell)[0]


class Teller(logging.Handler):
    """Tells each record as a line; of one ``run`` only, if one is named."""

    def __init__(self, tell: Callable[[str], None], run: str | None = None) -> None:
        super().__init__(logging.DEBUG)
        self._tell = tell
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if self._run is not None and getattr(record, "run", None) != self._run:
            return
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record of foreign code: what it says, however wrong, must not get lost
            text = f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"
        line = {
            "kind": "log",
            "logger": record.name,
            "level": record.levelno,
            "text": text[:_LOG_CHARACTERS],
            "at": record.created,
            "own": hasattr(record, "run"),
        }
        self._tell(json.dumps(line))


def _attempt_of(text: str, tell: Callable[[str], None]) -> tuple[RemoteAttempt, Job]:
    given = json.loads(text)
    job = _jobs(given["code"]).get(given["job"])
    if job is None:
        known = ", ".join(_jobs(given["code"]))
        raise PluginError(f"loaded in another process, the plugin has no job {given['job']}, but {known or 'none'}")
    return RemoteAttempt(job, given["facts"], tell), job


@functools.lru_cache(maxsize=16)
def _jobs(code: str) -> dict[str, Job]:
    """Loaded in a loop of its own, for the loader guards the plugin's code with time limits."""
    return asyncio.run(load_copy(code))


def _untold(_line: str) -> None:
    """Nobody listens."""
