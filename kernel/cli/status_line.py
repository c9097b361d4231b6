"""A line on the terminal that says how far it is, gone at the end."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from kernel.cli.output import has_colours, is_terminal


@contextlib.contextmanager
def status_line(text: str) -> Iterator[Callable[[str], None]]:
    """Gives what changes the text. Where stderr is no terminal, nothing is shown."""
    if not is_terminal(sys.stderr):
        yield lambda _text: None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms, for a terminal only

    with Console(stderr=True, no_color=not has_colours(sys.stderr)).status(text) as status:
        yield status.update
