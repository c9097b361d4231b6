"""The terminal while ``mainspring top`` has it: another screen, each key as it is typed, all of it given back in the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from kernel.cli.output import has_colours, is_utf8

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.cli.top_fit import Line

_NO_WRAPPING, _WRAPPING = "\x1b[?7l", "\x1b[?7h"
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen:
    """``with Screen(on_end) as screen: screen.show(lambda columns, rows, is_utf8: lines)``, on the running loop.

    ``on_end`` is called at q, Ctrl-C, or when the terminal goes away. When the size changes, what is shown is arranged anew.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._arrange: Callable[[int, int, bool], list[Line]] = lambda _columns, _rows, _is_utf8: []
        self._console = Console(no_color=not has_colours(sys.stdout), highlight=False)
        self._is_utf8 = is_utf8(sys.stdout)  # which rich puts something else in the place of
        self._reads_keys = sys.stdin.isatty()
        self._keys_before: list[Any] = []

    def __enter__(self) -> Self:
        for number in _ENDS:
            self._loop.add_signal_handler(number, self._on_end)
        self._loop.add_signal_handler(signal.SIGWINCH, self._draw)
        self._loop.add_signal_handler(signal.SIGTSTP, self._pause)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a terminal that has gone away needs nothing back
            self._give_back()
        for number in (*_ENDS, signal.SIGWINCH, signal.SIGTSTP):
            self._loop.remove_signal_handler(number)

    def show(self, arrange: Callable[[int, int, bool], list[Line]]) -> None:
        """``arrange``: columns, rows and whether the terminal has more than ASCII -> the lines."""
        self._arrange = arrange
        self._draw()

    def _take(self) -> None:
        if self._reads_keys:
            self._keys_before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            self._loop.add_reader(sys.stdin, self._read_keys)
        self._live = Live(Text(), console=self._console, screen=True, auto_refresh=False)
        self._live.start()
        # A letter that the terminal takes for wider than it is would else push the last one to the next line.
        self._write(_NO_WRAPPING)

    def _give_back(self) -> None:
        if self._reads_keys:
            self._loop.remove_reader(sys.stdin)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._keys_before)
        self._write(_WRAPPING)
        self._live.stop()

    def _write(self, sequence: str) -> None:
        self._console.file.write(sequence)
        self._console.file.flush()

    def _draw(self) -> None:
        # Not as LINES and COLUMNS say, which rich would take for it: a resized terminal is another one than they tell of.
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(sys.stdout.fileno())
            if size.columns and size.lines:
                self._console.size = ConsoleDimensions(size.columns, size.lines)
        columns, rows = self._console.size
        texts = [
            Text.assemble(*line, no_wrap=True, overflow="crop") for line in self._arrange(columns, rows, self._is_utf8)
        ]
        self._live.update(Group(*texts), refresh=True)

    def _read_keys(self) -> None:
        try:
            keys = os.read(sys.stdin.fileno(), 1024)
        except OSError:
            keys = b""
        if not keys:
            self._loop.remove_reader(sys.stdin)
        if not keys or b"q" in keys.lower():
            self._on_end()

    def _pause(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, until `fg`."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._draw()
