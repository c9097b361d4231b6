"""Renders records of the standard ``logging``: as ``key=value`` or JSON by structlog, or as short lines."""

from __future__ import annotations

import copy
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import structlog

from kernel.cli.output import clean, has_colours

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import Processor

    from kernel.cli.line_writer import LineWriter

EXTRAS = ("job", "run", "attempt", "seconds", "state", "plugin", "kernel", "pid", "store", "details")
"""What a record may carry beside its message."""

_FIRST = ["timestamp", "level", "logger", "event"]


class LogHandler(logging.Handler):
    """Hands each record to the writer's thread, with its message made: the arguments may change in the meantime."""

    def __init__(
        self,
        writer: LineWriter,
        render: Callable[[logging.LogRecord], str],
        wanted: Callable[[logging.LogRecord], bool],
    ) -> None:
        super().__init__(logging.INFO)
        self._writer = writer
        self._render = render
        self._wanted = wanted

    def emit(self, record: logging.LogRecord) -> None:
        if not self._wanted(record):
            return
        record = copy.copy(record)
        record.msg, record.args = _message(record), None
        self._writer.put(lambda: self._render(record))


def install(handler: logging.Handler) -> None:
    """From here on it gets every record of level INFO and above, warnings of Python included."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


def log_renderer(*, is_json: bool) -> Callable[[logging.LogRecord], str]:
    """JSON; or what a person reads: in columns on a terminal, elsewhere as ``key=value``."""
    if is_json:
        renderer: Processor = structlog.processors.JSONRenderer(default=repr)
    elif has_colours(sys.stdout):
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True, bool_as_flag=False)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _stamp,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=EXTRAS),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_exceptions(renderer),
            *([] if is_json else [_clean_texts]),
            _in_order,
            renderer,
        ],
    )
    return lambda record: _safely(formatter.format, record)


def short_line(record: logging.LogRecord) -> str:
    """For the terminal, between the lines of runs."""
    at = time.strftime("%H:%M:%S", time.localtime(record.created))
    who = f"{record.job}: " if hasattr(record, "job") and not str(record.msg).startswith(record.job) else ""
    lines = [f"{at}  {record.levelname.lower():<9}  {who}{clean_lines(str(record.msg))}"]
    if record.exc_info:
        lines.append(clean_lines(logging.Formatter().formatException(record.exc_info)))
    return "\n".join(lines)


def clean_lines(text: str) -> str:
    return "\n".join(clean(line) for line in text.splitlines())


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - a record of foreign code: what it says, however wrong, must not get lost
        return f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"


def _stamp(_logger: Any, _method: str, line: Any) -> Any:
    """When it was said, not when the writer came to it."""
    created = line["_record"].created
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    line["timestamp"] = f"{whole}.{int(created % 1 * 1_000_000):06d}Z"
    return line


def _clean_texts(_logger: Any, _method: str, line: Any) -> Any:
    """What a job logs is foreign text: no terminal is to obey it; JSON escapes it by itself."""
    return {key: clean_lines(value) if isinstance(value, str) else value for key, value in line.items()}


def _in_order(_logger: Any, _method: str, line: Any) -> Any:
    return {key: line[key] for key in _FIRST if key in line} | {
        key: value for key, value in line.items() if key not in _FIRST
    }


def _exceptions(renderer: Processor) -> list[Processor]:
    return [] if isinstance(renderer, structlog.dev.ConsoleRenderer) else [structlog.processors.format_exc_info]


def _safely(render: Callable[[logging.LogRecord], str], record: logging.LogRecord) -> str:
    try:
        return render(record)
    except Exception as error:  # noqa: BLE001 - a value that cannot be rendered must not end the writer
        return f"{record.levelname} {record.name} {clean(str(record.msg))} (cannot be rendered: {type(error).__name__})"
