"""``mainspring enqueue``: one run of a job."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kernel.cli.command import AsJson, Payload, at_desk, duration_of, example, payload_of
from kernel.cli.kernel_watch import KernelWatch
from kernel.cli.output import as_json_text, clean, print_json, say, tell
from kernel.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.cli.desk import Desk


def add_to(app: typer.Typer) -> None:
    app.command(
        "enqueue",
        epilog=example(
            'enqueue fleet.process-car --payload \'{"car_id": "42"}\'',
            "enqueue fleet.sync_car_data --delay 10m --unique sync",
            "enqueue fleet.generate_weekly_report --wait --timeout 1m",
            "enqueue fleet.generate_weekly_report --depends-on 0198c5b2-8d1e-7a3c-9f00-3b5e0c1d2a4f",
        ),
    )(enqueue)


def enqueue(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's full name, as `jobs` has it.")],
    *,
    payload: Payload = None,
    priority: Annotated[int | None, typer.Option(metavar="N", help="0 runs first, 9 last.")] = None,
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Not before this has passed, as 10m.")] = None,
    at: Annotated[str | None, typer.Option(metavar="ISO", help="Not before this instant, which has an offset.")] = None,
    unique: Annotated[
        str | None, typer.Option(metavar="KEY", help="While an unfinished run of the job has this key, that one is it.")
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Another queue than the job's own.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Not begun so long after it was due, it ends as expired.")
    ] = None,
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Not before this run has completed; may be given again.")
    ] = None,
    on_parent_failure: Annotated[
        str | None, typer.Option(metavar="cancel|run", help="When one of those fails or is cancelled; else cancel.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="To filter by; may be given again.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Waits for its end, and prints state and result; 1 unless it completed.")
    ] = False,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="How long --wait waits.")] = None,
    as_json: AsJson = False,
) -> None:
    """Enqueues one run of a job and prints its id. When it returns, the run survives a crash."""
    from kernel.model.errors import RequestError

    if timeout is not None and not wait:
        raise RequestError("--timeout: expected together with --wait")
    limit = duration_of("--timeout", timeout, zero=True)
    options = {
        "priority": priority, "delay": duration_of("--delay", delay, zero=True), "at": at, "unique": unique,
        "queue": queue, "expires": duration_of("--expires", expires), "depends_on": depends_on or None,
        "on_parent_failure": on_parent_failure, "tags": tag or None,
    }  # fmt: skip
    given = {option: value for option, value in options.items() if value is not None}
    parameters = payload_of(payload)

    async def work(desk: "Desk") -> dict[str, Any]:
        run = await desk.enqueue(job, parameters, given)
        if not run["is_new"]:
            tell(f"not a new run: {run['id']} has its unique key, and is {run['state']}")
        if note := run.pop("note", None):
            tell(f"note: {note}")
        if not wait:
            return run
        if not as_json:
            _print(run, lambda: say(run["id"]))
        return await _end_of(desk, run, limit) | {"is_new": run["is_new"]}

    run = at_desk(context, work, creates=True)
    if as_json:
        _print(run, lambda: print_json(run))
    elif wait:
        _print(run, lambda: _print_end(run))
    else:
        _print(run, lambda: say(run["id"]))
    if wait and run["state"] != "completed":
        raise typer.Exit(1)


def _print(run: dict[str, Any], output: "Callable[[], None]") -> None:
    """What cannot be printed has happened all the same, and is told beside the output."""
    try:
        output()
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What the stream still holds would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        tell(f"the output could not be written: {error.strerror}; run {run['id']} of {run['job']} is {run['state']}")
        raise typer.Exit(1) from None


async def _end_of(desk: "Desk", run: dict[str, Any], limit: float | None) -> dict[str, Any]:
    """The run when it has ended, or as it is when the time is over."""
    import asyncio

    deadline = None if limit is None else asyncio.get_running_loop().time() + limit
    kernels = KernelWatch(desk)
    with progress_bar() as bar:
        while not run["finished_at"]:
            await kernels.look()
            left = None if deadline is None else deadline - asyncio.get_running_loop().time()
            if left is not None and left <= 0:
                goes_on = "goes on without this command" if kernels.is_alive else "waits for a kernel"
                tell(f"run {run['id']} is {run['state']} after {limit:g} s; it {goes_on}")
                return run
            bar.show(run)
            look = bar.look_seconds if left is None else min(bar.look_seconds, left)
            run = await desk.call("wait", run=run["id"], timeout=look)
    return run


def _print_end(run: dict[str, Any]) -> None:
    state = "completed, degraded" if run["degraded"] else run["state"]
    error = run["error"] if run["state"] == "failed" else None
    why = f"{error['type']}: {error['message']}" if error else run["reason"] or "; ".join(run["notes"])
    say(f"{state}{': ' if why else ''}{clean(why)}")
    if run["result"] is not None:
        say(as_json_text(run["result"], indent=2))
