"""Keeps with a run what its job logs: by ``ctx.log``, and by the standard ``logging`` from wherever the job calls.

Which run that is the context variable says, also in the tasks and threads that a job starts with its own variables.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kernel.model.errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.flow.context import Context
    from kernel.flow.page import Page

current: ContextVar[Context | None] = ContextVar("mainspring_attempt", default=None)
"""The attempt to which the running code belongs. Set by the worker pool."""
_is_kept: ContextVar[bool] = ContextVar("mainspring_is_kept", default=False)
"""Whether the line that is being logged has been kept already."""
_TRACEBACK_CHARACTERS = 2_000  # of at most four bytes; line and traceback fit into what is kept of a line


class LogCapture(logging.Handler):
    """Stands at the root logger; gets lines from INFO on, as far as the loggers' own levels let them through.

    Several kernels may live in one process: each keeps the lines of the attempts that are its own by ``is_mine``.
    """

    def __init__(self, is_mine: Callable[[Context], bool]) -> None:
        super().__init__(logging.INFO)
        self._is_mine = is_mine

    def install(self) -> None:
        logging.getLogger().addHandler(self)

    def remove(self) -> None:
        logging.getLogger().removeHandler(self)

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the handler's lock, for which all threads would wait: the page has its own.
        context = current.get()
        if context is None or _is_kept.get() or not self._is_mine(context):
            return False
        try:
            context.page.add(str(record.levelname).lower(), _text_of(record))
        except Exception:  # noqa: BLE001 - the border to foreign records: logging raises nothing
            self.handleError(record)
        return True


class JobLog(logging.LoggerAdapter[logging.Logger]):
    """``ctx.log``: keeps lines from INFO on whatever level the loggers have, and passes all on to the job's logger."""

    def __init__(self, job: str, extra: dict[str, Any], page: Page) -> None:
        super().__init__(logging.getLogger(f"mainspring.job.{job}"), extra)
        self._page = page

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - a name of the standard library
        return level >= logging.INFO or self.logger.isEnabledFor(level)

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if level >= logging.INFO:
            exc_info = _exc_info(kwargs.get("exc_info"))
            record = logging.LogRecord(self.logger.name, level, "", 0, msg, args, exc_info)
            self._page.add(str(record.levelname).lower(), _text_of(record))
        if self.logger.isEnabledFor(level):
            kept = _is_kept.set(True)
            try:
                # This method is a frame between: the record names the caller's.
                super().log(level, msg, *args, **kwargs | {"stacklevel": kwargs.get("stacklevel", 1) + 1})
            finally:
                _is_kept.reset(kept)


def _exc_info(given: Any) -> Any:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    return given if isinstance(given, tuple) or not given else sys.exc_info()


def _text_of(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - what it says, however wrong, must not get lost
        text = f"{shown(record.msg, 2_000)} (its arguments do not fit: {type(error).__name__})"
    if not record.exc_info or record.exc_info[0] is None:
        return text
    found = logging.Formatter().formatException(record.exc_info)
    if len(found) > _TRACEBACK_CHARACTERS:  # its end says more than its beginning
        found = f"…{found[-_TRACEBACK_CHARACTERS:]}"
    return f"{text[:_TRACEBACK_CHARACTERS]}\n{found}"
