"""``mainspring runs``: what was enqueued, and what became of it."""

from datetime import datetime
from typing import Annotated, Any

import typer

from kernel.cli.command import AsJson, call, example, group
from kernel.cli.output import Column, as_json_text, moment, print_fields, print_json, print_table, say

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of runs, as `runs list` has them.")]

_COLUMNS = [
    Column("ID"), Column("STATE"), Column("JOB"), Column("QUEUE"), Column("DUE"), Column("TOOK", is_number=True),
    Column("ATTEMPT", is_number=True), Column("NOTE", is_whole=False),
]  # fmt: skip

_SHORT = 100


def add_to(app: typer.Typer) -> None:
    runs = group(app, "runs", "Lists, shows, cancels and retries runs.")
    listed = example("runs list --state failed --limit 10", "runs list --job fleet.process-car --json")
    runs.command("list", epilog=listed)(list_runs)
    runs.command("show", epilog=example("runs show 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f"))(show)
    runs.command("cancel", epilog=example("runs cancel 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f"))(cancel)
    runs.command("retry", epilog=example("runs retry 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f"))(retry)


def list_runs(
    context: typer.Context,
    *,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only those in this state, as failed.")] = None,
    job: Annotated[str | None, typer.Option(metavar="JOB", help="Only those of this job.")] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Only those of this queue.")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="NAME", help="Only those made by this schedule.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only those with this tag.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="How many at most, up to 1000.")] = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Those older than this run: the next page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lists runs, newest first."""
    found = call(
        context, "runs_list", state=state, job=job, queue=queue, schedule=schedule, tag=tag, limit=limit, before=before
    )
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
    as_json: AsJson = False,
) -> None:
    """Shows all that is kept of one run."""
    found = call(context, "runs_show", run=run)
    if as_json:
        print_json(found)
        return
    error = found.pop("error")
    fields = {name: value for name, value in found.items() if value not in (None, [], False)}
    fields |= {name: moment(value) for name, value in fields.items() if name.endswith("_at")}
    fields |= {name: _as_text(fields[name]) for name in ("payload", "result") if name in fields}
    if error:
        fields["error"] = f"{error['type']}: {error['message']}"
        fields |= {"traceback": error["traceback"]} if error["traceback"] else {}
    print_fields(fields)


def _as_text(value: Any) -> str:
    short = as_json_text(value)
    return short if len(short) <= _SHORT else as_json_text(value, indent=2)


def cancel(
    context: typer.Context,
    runs: Ids,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Kept with the runs.")] = "cancelled by hand",
    as_json: AsJson = False,
) -> None:
    """Cancels runs, waiting and running ones.

    Waiting ones end at once, running ones are told to by the kernel that has them.
    """
    ended = call(context, "runs_cancel", runs=runs, reason=reason)
    if as_json:
        print_json(ended)
        return
    for one in ended:
        say(f"{one['id']} {_cancelled(one)}")


def _cancelled(one: dict[str, Any]) -> str:
    match one["before"], one["after"]:
        case "running", _:
            return "is running and is told to end"
        case before, after if before == after:
            return f"had ended already: {after}"
        case _, after:
            return f"is {after}"


def retry(context: typer.Context, runs: Ids, *, as_json: AsJson = False) -> None:
    """Queues runs again that ended without success.

    Those that have failed, were cancelled or have expired; they get all their attempts again.
    """
    ended = call(context, "runs_retry", runs=runs)
    if as_json:
        print_json(ended)
        return
    for one in ended:
        say(f"{one['id']} is {one['after']}")
