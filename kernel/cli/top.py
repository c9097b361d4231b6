"""``mainspring top``: what happens now, live in the terminal."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import AsJson, duration_of, example
from kernel.cli.output import is_terminal, is_utf8, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.cli.top_answers import Answers
    from kernel.cli.top_fit import Line
    from kernel.cli.top_screen import Screen

_INTERVAL_SECONDS = 1.0
_SHORTEST_SECONDS = 0.1
_PATIENCE_SECONDS = 0.3
"""How long the screen waits for what a kernel says of its health before it shows what that said last."""


def add_to(app: typer.Typer) -> None:
    app.command("top", epilog=example("top", "top --interval 5s", "top --once", "top --json | jq .queues"))(top)


def top(
    context: typer.Context,
    *,
    interval: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How often it looks: 1s, from 100ms on.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Prints how it is now, as plain text, and ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows live what goes on, until q or Ctrl-C.

    What is late or wrong, what runs, what has failed, what comes next, and the queues; where the terminal is small, the last of
    these go first. Without a kernel it shows what the store knows, and goes on looking for one. Where stdout is no terminal,
    it is as with --once.
    """
    import asyncio

    from kernel.model.errors import RequestError

    seconds = duration_of("--interval", interval) or _INTERVAL_SECONDS
    if seconds < _SHORTEST_SECONDS:
        raise RequestError(f"--interval: {interval} is too short: expected 100ms or more")
    if interval is not None and (once or as_json):
        raise RequestError("--interval: expected without --once and --json, which look once")
    if once or as_json or not is_terminal(sys.stdout):
        asyncio.run(_print(context.obj, as_json=as_json))
    else:
        asyncio.run(_watch(context.obj, seconds))


async def _print(path: "Path", *, as_json: bool) -> None:
    from kernel.cli.desk import ANSWER_SECONDS
    from kernel.cli.top_answers import Answers
    from kernel.cli.top_page import page_of

    async with Answers(path) as answers:
        picture = await answers.look(ANSWER_SECONDS + 1)
    if as_json:
        print_json(picture)
        return
    for line in page_of(picture, None, None, is_utf8=is_utf8(sys.stdout)):
        say("".join(span.text for span in line).rstrip())


async def _watch(path: "Path", interval: float) -> None:
    import asyncio

    from kernel.cli.top_answers import Answers
    from kernel.cli.top_screen import Screen

    ended = asyncio.Event()
    async with Answers(path) as answers:
        with Screen(ended.set) as screen:
            tasks = [asyncio.create_task(_look_on(answers, screen, interval)), asyncio.create_task(ended.wait())]
            done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            await task


async def _look_on(answers: "Answers", screen: "Screen", interval: float) -> None:
    """Until it is cancelled. ConfigError at the first look; what goes wrong later, or with the store, is shown."""
    import asyncio

    from kernel.cli.top_picture import empty_picture
    from kernel.model.duration import words
    from kernel.model.errors import ConfigError, MainspringError

    every = words(interval)
    picture: dict[str, Any] | None = None
    while True:
        try:
            picture = await answers.look(_PATIENCE_SECONDS)
        except (MainspringError, OSError) as error:
            if picture is None and isinstance(error, ConfigError):
                raise
            # The address stands above it.
            trouble = str(error).removeprefix(f"{answers.store}: ")
            picture = (picture or empty_picture(answers.store)) | {"trouble": trouble}
        screen.show(_arranged(picture, f"q ends it; it looks {'again ' if picture['trouble'] else ''}every {every}"))
        await asyncio.sleep(interval)


def _arranged(picture: dict[str, Any], foot: str) -> Any:
    from kernel.cli.top_page import page_of

    def arrange(columns: int, rows: int, has_more_than_ascii: bool) -> "list[Line]":
        return page_of(picture, columns, rows, is_utf8=has_more_than_ascii, foot=foot)

    return arrange
