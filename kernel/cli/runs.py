"""``mainspring runs``: what was enqueued, and what became of it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import AsJson, at_desk, call, example, group
from kernel.cli.dependencies import print_tree
from kernel.cli.follow_run import follow_run
from kernel.cli.many_runs import cancel_many, retry_many
from kernel.cli.output import Column, as_json_text, moment, print_fields, print_json, print_table, say
from kernel.cli.run_record import attempt_fields, record_fields

if TYPE_CHECKING:
    from kernel.cli.desk import Desk

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of runs, as `runs list` has them.")]
Job = Annotated[str | None, typer.Option(metavar="JOB", help="Only those of this job.")]
Queue = Annotated[str | None, typer.Option(metavar="QUEUE", help="Only those of this queue.")]
Schedule = Annotated[str | None, typer.Option(metavar="NAME", help="Only those made by this schedule.")]
Tag = Annotated[str | None, typer.Option(metavar="TAG", help="Only those with this tag.")]
Since = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only those enqueued from then on: so long ago, as 2h, or ISO 8601.")
]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Only those enqueued before then.")]
ErrorText = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only those whose error or reason has this text in it.")
]
IsSure = Annotated[bool, typer.Option("--yes", help="Does not ask first, when runs are chosen by options.")]

_COLUMNS = [
    Column("ID"), Column("STATE"), Column("JOB"), Column("QUEUE"), Column("DUE"), Column("TOOK", is_number=True),
    Column("ATTEMPT", is_number=True), Column("NOTE", is_whole=False),
]  # fmt: skip

_SHORT = 100


def add_to(app: typer.Typer) -> None:
    runs = group(app, "runs", "Lists, shows, cancels and retries runs.")
    listed = example("runs list --state failed --limit 10", "runs list --error timeout --since 2h --json")
    runs.command("list", epilog=listed)(list_runs)
    runs.command(
        "show",
        epilog=example(
            "runs show 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f", "runs show 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f --follow"
        ),
    )(show)
    cancelled = example("runs cancel 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f", "runs cancel --queue car-processing --yes")
    runs.command("cancel", epilog=cancelled)(cancel)
    retried = example("runs retry 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f", "runs retry --job fleet.process-car")
    runs.command("retry", epilog=retried)(retry)


def list_runs(
    context: typer.Context,
    *,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="Only those in this state, as failed, or in several, as failed,expired."),
    ] = None,
    job: Job = None,
    queue: Queue = None,
    schedule: Schedule = None,
    tag: Tag = None,
    since: Since = None,
    until: Until = None,
    error: ErrorText = None,
    limit: Annotated[int, typer.Option(metavar="N", help="How many at most, up to 1000.")] = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Those older than this run: the next page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lists runs, newest first."""
    found = call(
        context, "runs_list", state=state, job=job, queue=queue, schedule=schedule, tag=tag, since=since, until=until,
        error=error, limit=limit, before=before,
    )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(run) for run in found], empty="no runs")


def _row(run: dict[str, Any]) -> list[Any]:
    return [
        run["id"], _state(run), run["job"], run["queue"], moment(run["due_at"]), _took(run), run["attempt"], _note(run),
    ]  # fmt: skip


def _state(run: dict[str, Any]) -> str:
    return "stuck" if run["stuck"] else "degraded" if run["degraded"] else str(run["state"])


def _took(run: dict[str, Any]) -> str:
    """How long the last attempt took."""
    from kernel.model.duration import words  # noqa: PLC0415 - at first use, as all of the model here

    if not run["started_at"] or not run["finished_at"]:
        return "-"
    began, ended = datetime.fromisoformat(run["started_at"]), datetime.fromisoformat(run["finished_at"])
    return words(max((ended - began).total_seconds(), 0.0))


def _note(run: dict[str, Any]) -> str:
    if run["error"] and run["state"] in ("failed", "retrying", "queued", "running"):
        return f"{run['error']['type']}: {run['error']['message']}"
    return run["reason"] or "; ".join(run["notes"])


def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="ID", help="The id of a run.")],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Shows its progress and new lines of its log first, until it has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shows all that is kept of one run.

    Draws the runs that it depends on, too, and those that depend on it.
    """
    from kernel.model.errors import RequestError  # noqa: PLC0415 - at first use, as all of the model here

    if follow and as_json:
        raise RequestError("--follow: expected without --json; `events --follow --json` gives what happens as JSON")

    async def work(desk: "Desk") -> tuple[dict[str, Any], dict[str, Any]]:
        if follow:
            await follow_run(desk, run)
        return await desk.call("runs_show", run=run), await desk.call("runs_tree", run=run)

    found, tree = at_desk(context, work)
    if as_json:
        print_json(found | {"tree": tree})
        return
    record = attempt_fields(found.pop("attempts")) | record_fields(found)
    if follow:
        record.pop("log", None)
    error = found.pop("error")
    fields = {name: value for name, value in found.items() if value not in (None, [], False)}
    fields |= {name: moment(value) for name, value in fields.items() if name.endswith("_at")}
    fields |= {name: _as_text(fields[name]) for name in ("payload", "result") if name in fields}
    if error:
        fields[_error_label(found)] = f"{error['type']}: {error['message']}"
        fields |= {"traceback": error["traceback"]} if error["traceback"] else {}
    print_fields(fields | record)
    print_tree(tree)


def _error_label(run: dict[str, Any]) -> str:
    """Of a run that has gone on since, the error is that of an attempt before, where one can say of which."""
    if run["state"] in ("failed", "retrying"):
        return "error"
    return f"last error, of attempt {run['failures']}" if run["attempt"] == run["failures"] + 1 else "last error"


def _as_text(value: Any) -> str:
    short = as_json_text(value)
    return short if len(short) <= _SHORT else as_json_text(value, indent=2)


def cancel(
    context: typer.Context,
    runs: Ids = None,
    *,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only those in this state; else all that have not ended.")
    ] = None,
    job: Job = None,
    queue: Queue = None,
    schedule: Schedule = None,
    tag: Tag = None,
    since: Since = None,
    until: Until = None,
    error: ErrorText = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Kept with the runs.")] = "cancelled by hand",
    is_sure: IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Cancels runs, waiting and running ones.

    They are named by their ids, or chosen by options, and then it is asked first. Waiting ones end at once, and those that
    depend on them; running ones are told to by the kernel that has them.
    """
    given = {
        "state": state, "job": job, "queue": queue, "schedule": schedule, "tag": tag, "since": since, "until": until,
        "error": error,
    }  # fmt: skip
    if _is_by_filter(runs, given):
        cancel_many(context, given, reason, is_sure=is_sure, as_json=as_json)
        return
    ended = call(context, "runs_cancel", runs=runs, reason=reason)
    if as_json:
        print_json(ended)
        return
    for one in ended:
        say(f"{one['id']} {_cancelled(one)}" if one["id"] in (runs or ()) else f"{one['id']} depended on it: cancelled")


def _cancelled(one: dict[str, Any]) -> str:
    match one["before"], one["after"]:
        case "running", _:
            return "is running and is told to end"
        case before, after if before == after:
            return f"had ended already: {after}"
        case _, after:
            return f"is {after}"


def retry(
    context: typer.Context,
    runs: Ids = None,
    *,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="Only those in this state: failed, cancelled or expired; else failed."),
    ] = None,
    job: Job = None,
    queue: Queue = None,
    schedule: Schedule = None,
    tag: Tag = None,
    since: Since = None,
    until: Until = None,
    error: ErrorText = None,
    is_sure: IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Queues runs again that ended without success.

    They are named by their ids, or chosen by options, and then it is asked first. Those that have failed, were cancelled
    or have expired; they get all their attempts again.
    """
    given = {
        "state": state, "job": job, "queue": queue, "schedule": schedule, "tag": tag, "since": since, "until": until,
        "error": error,
    }  # fmt: skip
    if _is_by_filter(runs, given):
        retry_many(context, given, is_sure=is_sure, as_json=as_json)
        return
    ended = call(context, "runs_retry", runs=runs)
    if as_json:
        print_json(ended)
        return
    for one in ended:
        say(f"{one['id']} is {one['after']}")


def _is_by_filter(runs: list[str] | None, given: dict[str, str | None]) -> bool:
    """RequestError unless runs are named in one of the two ways."""
    from kernel.model.errors import RequestError  # noqa: PLC0415 - at first use, as all of the model here

    filters = [name for name, value in given.items() if value is not None]
    if bool(runs) == bool(filters):
        found = f"ids and --{filters[0]}" if filters else "neither ids nor an option that chooses runs"
        raise RequestError(
            f"found {found}: expected ids of runs, or some of {', '.join(f'--{name}' for name in given)}"
        )
    return bool(filters)
