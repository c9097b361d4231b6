"""``mainspring queues``: how many runs wait where, and how to hold them back."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import AsJson, at_desk, call, duration_of, example, group
from kernel.cli.output import Column, moment, print_json, print_table, say, tell

if TYPE_CHECKING:
    from kernel.cli.desk import Desk

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name.")]

_COLUMNS = [
    Column("QUEUE"), Column("STATE"), Column("QUEUED", is_number=True), Column("RUNNING", is_number=True),
    Column("RETRYING", is_number=True), Column("SCHEDULED", is_number=True), Column("BLOCKED", is_number=True),
    Column("CONCURRENCY", is_number=True), Column("RATE LIMIT", is_number=True), Column("OLDEST DUE"),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    queues = group(app, "queues", "Lists, pauses, resumes and resizes queues.")
    queues.command("list", epilog=example("queues list", "queues list --json"))(list_queues)
    queues.command("pause", epilog=example("queues pause car-processing --for 30m"))(pause)
    queues.command("resume", epilog=example("queues resume car-processing"))(resume)
    queues.command("resize", epilog=example("queues resize car-processing 10", "queues resize mail none"))(resize)


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


def resize(
    context: typer.Context,
    queue: Queue,
    concurrency: Annotated[
        str, typer.Argument(metavar="N", help="So many of its runs go on at once; none: as many as there are.")
    ],
) -> None:
    """Sets a queue's concurrency in plugins.toml.

    The file's comments stay. A running kernel acts on it within a second.
    """
    from kernel.config import check_queue_name
    from kernel.config_edit import set_concurrency
    from kernel.model.errors import RequestError, UnknownNameError, shown

    if concurrency != "none" and not (concurrency.isdecimal() and len(concurrency) < 10):
        raise RequestError(f"N: {shown(concurrency)}: expected a whole number from 1 to 100,000, or none")
    check_queue_name(queue)
    known = at_desk(context, lambda desk: _known(desk, queue))
    if queue not in known:
        raise UnknownNameError("queue", queue, known)
    limit = None if concurrency == "none" else int(concurrency)
    told = "no limit" if limit is None else f"a concurrency of {limit:,}"
    if set_concurrency(context.obj, queue, limit):
        say(f"{queue} has {told} in {context.obj}")
        tell("a running kernel acts on it within a second; `mainspring queues list` shows it")
    else:
        say(f"{queue} had {told} already in {context.obj}")


async def _known(desk: "Desk", wanted: str) -> set[str]:
    """The queues of jobs, runs and plugins.toml; those of plugins' code where it is not among the others."""
    from kernel.cli.plugin_code import prepare_plugins

    known = {"default", *desk.config.queues}
    if not desk.is_store_in_kernel or await desk.sockets():
        known |= {one["queue"] for one in await desk.call("queues_list")}
    if wanted not in known:
        known |= {job.policies.queue for state in (await prepare_plugins(desk.config)).states for job in state.jobs}
    return known
