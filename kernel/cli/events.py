"""``mainspring events``: what happens in a running kernel, as it happens."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import at_desk, example
from kernel.cli.output import as_json_text, plain, say, tell

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.cli.desk import Desk

_INSTANTS = frozenset({"due", "until", "expires", "first", "last"})
_ERRORS = frozenset({"error", "reason", "problem"})


def add_to(app: typer.Typer) -> None:
    app.command("events", epilog=example("events --follow", "events --follow --json | jq .event"))(events)


def events(
    context: typer.Context,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Prints each event until the kernel stops, or Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Prints the live events of a running kernel.

    They are told as they happen and not kept: hence --follow.
    """
    from kernel.model.errors import RequestError

    if not follow:
        raise RequestError("events are not kept: expected --follow, which prints them as they happen")

    async def work(desk: "Desk") -> None:
        import asyncio

        from kernel.model.errors import StoreError

        sockets = await desk.sockets()
        if not sockets:
            raise StoreError("no kernel is alive: start one by `mainspring run`")
        await asyncio.gather(*(_follow(socket, as_json=as_json) for socket in sockets))

    at_desk(context, work)


async def _follow(socket: "Path", *, as_json: bool) -> None:
    from kernel.control_socket import follow
    from kernel.model.errors import StoreError

    try:
        async for event in follow(socket):
            say(as_json_text(event) if as_json else "\n".join(event_lines(event)))
            sys.stdout.flush()
    except ConnectionRefusedError:
        raise StoreError(f"the kernel behind {socket} does not answer") from None
    tell("the kernel has stopped")


def event_lines(event: dict[str, Any]) -> list[str]:
    """For people: one line, and below it one for each line that a run has logged. JSON has all of it, and exactly."""
    at = datetime.fromtimestamp(event["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    left_out = ("event", "at", "lines")
    rest = " ".join(f"{name}={_value(name, value)}" for name, value in event.items() if name not in left_out)
    below = [f"{'':<14}{plain(line['level']):<7}  {_of_many_lines(line['text'])}" for line in event.get("lines", ())]
    return [f"{at}  {event['event']:<16}  {rest}", *below]


def _value(name: str, value: Any) -> str:
    from kernel.model.run import iso

    if name in _INSTANTS and isinstance(value, int | float):
        return (iso(value) or "").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if name in _ERRORS and isinstance(value, str):
        first, _, more = value.strip().partition("\n")
        return plain(first) + (" …" if more else "")
    return plain(value)


def _of_many_lines(text: str) -> str:
    """The first and the last: of what was logged with a traceback these say what happened."""
    lines = text.strip().splitlines() or [""]
    return plain(lines[0]) if len(lines) == 1 else f"{plain(lines[0])} … {plain(lines[-1])}"
