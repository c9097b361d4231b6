"""``mainspring queues``: how many runs wait where, and how to hold them back."""

from typing import Annotated, Any

import typer

from kernel.cli.command import AsJson, call, duration_of, example, group
from kernel.cli.output import Column, moment, print_json, print_table, say

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name.")]

_COLUMNS = [
    Column("QUEUE"), Column("STATE"), Column("QUEUED", is_number=True), Column("RUNNING", is_number=True),
    Column("RETRYING", is_number=True), Column("SCHEDULED", is_number=True), Column("BLOCKED", is_number=True),
    Column("CONCURRENCY", is_number=True), Column("RATE LIMIT", is_number=True), Column("OLDEST DUE"),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    queues = group(app, "queues", "Lists, pauses and resumes queues.")
    queues.command("list", epilog=example("queues list", "queues list --json"))(list_queues)
    queues.command("pause", epilog=example("queues pause car-processing --for 30m"))(pause)
    queues.command("resume", epilog=example("queues resume car-processing"))(resume)


def list_queues(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists the queues, with their waiting and running runs."""
    found = call(context, "queues_list")
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(queue) for queue in found], empty="no queues")


def _row(queue: dict[str, Any]) -> list[Any]:
    state = "on"
    if queue["paused"]:
        state = f"paused until {moment(queue['paused_until'])}" if queue["paused_until"] else "paused"
    return [
        queue["queue"], state, queue["queued"], queue["running"], queue["retrying"], queue["scheduled"],
        queue["blocked"], _concurrency(queue), queue["rate_limit"] or "no limit", moment(queue["oldest_due_at"]),
    ]  # fmt: skip


def _concurrency(queue: dict[str, Any]) -> str:
    if queue["concurrency"] is None:
        return "no limit"
    return f"{queue['concurrency']}{' a kernel' if queue.get('concurrency_scope') == 'kernel' else ''}"


def pause(
    context: typer.Context,
    queue: Queue,
    *,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Resumes by itself after this, as 30m.")
    ] = None,
) -> None:
    """Lets no run of a queue begin until it is resumed. What runs already goes on."""
    call(context, "queues_pause", creates=True, queue=queue, duration=duration_of("--for", duration))
    say(f"{queue} is paused" + (f" for {duration}" if duration else ""))


def resume(context: typer.Context, queue: Queue) -> None:
    """Lets the runs of a paused queue begin again."""
    call(context, "queues_resume", queue=queue)
    say(f"{queue} is on")
