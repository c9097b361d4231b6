"""A bar on the terminal that says how far a run is, gone at the end."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kernel.cli.output import clean, has_colours, is_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WIDTH = 30


class Bar:
    """Where stderr is no terminal it shows nothing, and only says."""

    look_seconds = 1.0
    """How often it is worth looking what to show."""

    is_shown = False

    def show(self, run: dict[str, Any]) -> None: ...

    def say(self, text: str) -> None:
        """A line on stdout, above the bar."""
        say(text)
        sys.stdout.flush()


class _OnTerminal(Bar):
    look_seconds = 0.25
    is_shown = True

    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress = progress
        self._task = task

    def show(self, run: dict[str, Any]) -> None:
        state = f"{run['state']}, attempt {run['attempt']}" if run["attempt"] else str(run["state"])
        fraction = run["progress"]
        self._progress.update(
            self._task,
            description=state,
            total=None if fraction is None else 1.0,
            completed=fraction or 0.0,
            told="" if fraction is None else f"{fraction:.0%}  {clean(run['progress_text'] or '')}",
        )

    def say(self, text: str) -> None:
        if is_terminal(sys.stdout):  # the same screen: rich makes room
            self._progress.console.out(text, highlight=False)
        else:
            super().say(text)


@contextlib.contextmanager
def progress_bar() -> Iterator[Bar]:
    if not is_terminal(sys.stderr):
        yield Bar()
        return
    from rich.console import Console  # noqa: PLC0415 - 100 ms, for a terminal only
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415 - as above

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=_WIDTH),
        TextColumn("{task.fields[told]}", markup=False),
    )
    console = Console(stderr=True, no_color=not has_colours(sys.stderr))
    with Progress(*columns, console=console, transient=True) as progress:
        yield _OnTerminal(progress, progress.add_task("waiting", total=None, told=""))
