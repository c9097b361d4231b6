"""``mainspring schedules``: when jobs are enqueued by themselves."""

from typing import Annotated, Any

import typer

from kernel.cli.command import AsJson, Payload, at_desk, call, duration_of, example, group, payload_of
from kernel.cli.output import Column, moment, print_json, print_table, say, tell

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name, as `schedules list` has it.")]

_COLUMNS = [
    Column("SCHEDULE"), Column("JOB"), Column("WHEN", is_whole=False), Column("NEXT"), Column("STATE"),
    Column("FROM", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    schedules = group(app, "schedules", "Lists, pauses, triggers, adds and removes schedules.")
    schedules.command("list", epilog=example("schedules list", "schedules list --json"))(list_schedules)
    schedules.command("pause", epilog=example("schedules pause fleet.sync_car_data"))(pause)
    schedules.command("resume", epilog=example("schedules resume fleet.sync_car_data"))(resume)
    schedules.command("trigger", epilog=example("schedules trigger fleet.sync_car_data"))(trigger)
    added = example(
        "schedules add nightly fleet.process-car --cron '0 3 * * *' --payload '{\"car_id\": \"42\"}'",
        "schedules add often fleet.sync_car_data --every 10m",
    )
    schedules.command("add", epilog=added)(add)
    schedules.command("remove", epilog=example("schedules remove nightly"))(remove)


def list_schedules(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists all schedules, with the next tick of each."""
    found = call(context, "schedules_list")
    if as_json:
        print_json(found)
        return
    print_table(_COLUMNS, [_row(schedule) for schedule in found], empty="no schedules")
    if not all(schedule["job_known"] for schedule in found):
        tell("job unknown: no kernel has announced it; is its plugin enabled, and has a kernel run since?")


def _row(schedule: dict[str, Any]) -> list[Any]:
    state = "paused" if schedule["paused"] else "on" if schedule["job_known"] else "job unknown"
    source = "added by hand" if schedule["dynamic"] else f"plugin {schedule['plugin']}"
    return [schedule["schedule"], schedule["job"], schedule["when"], moment(schedule["next_at"]), state, source]


def pause(context: typer.Context, name: Name) -> None:
    """Lets a schedule run nothing until it is resumed.

    Its ticks are recorded as paused.
    """
    call(context, "schedules_pause", schedule=name)
    say(f"{name} is paused")


def resume(context: typer.Context, name: Name) -> None:
    """Lets a paused schedule go on from its next tick."""
    call(context, "schedules_resume", schedule=name)
    say(f"{name} is on")


def trigger(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Runs a schedule's job now, beside its ticks.

    It gets the schedule's payload. Prints the run's id.
    """
    run = call(context, "schedules_trigger", schedule=name)
    print_json(run) if as_json else say(run["id"])


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for it, free of your choice.")],
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's full name, as `jobs` has it.")],
    *,
    cron: Annotated[str | None, typer.Option(metavar="EXPR", help="When: a cron expression of 5 or 6 fields.")] = None,
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="When: at this pace, as 10m.")] = None,
    payload: Payload = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="The zone of --cron; else kernel.timezone of plugins.toml.")
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(metavar="grid|finish", help="Of --every: by the clock, or from the end of the last run."),
    ] = None,
    jitter: Annotated[str | None, typer.Option(metavar="DURATION", help="Each tick is put off by up to this.")] = None,
    start: Annotated[str | None, typer.Option(metavar="ISO", help="No tick before this instant.")] = None,
    end: Annotated[str | None, typer.Option(metavar="ISO", help="No tick after this instant.")] = None,
    catch_up: Annotated[
        str | None, typer.Option(metavar="skip|latest|all", help="What to do with ticks missed while no kernel ran.")
    ] = None,
    catch_up_window: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How old a tick may be that is caught up with.")
    ] = None,
    catch_up_max: Annotated[int | None, typer.Option(metavar="N", help="How many of them at most.")] = None,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="skip|queue|allow|replace", help="What to do while the last run is unfinished."),
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Adds it paused.")] = False,
    as_json: AsJson = False,
) -> None:
    """Adds a schedule, which is kept in the store.

    It survives restarts. One of --cron and --every says when.
    """
    options = {
        "cron": cron, "every": duration_of("--every", every), "timezone": timezone, "anchor": anchor,
        "jitter": duration_of("--jitter", jitter, zero=True), "start": start, "end": end, "catch_up": catch_up,
        "catch_up_window": duration_of("--catch-up-window", catch_up_window), "catch_up_max": catch_up_max,
        "overlap": overlap, "paused": paused or None,
    }  # fmt: skip
    given = {option: value for option, value in options.items() if value is not None}
    parameters = payload_of(payload)
    added = at_desk(context, lambda desk: desk.add_schedule(name, job, parameters, given), creates=True)
    if as_json:
        print_json(added)
    else:
        say(f"{name} is added: {added['when']}, next at {moment(added['next_at'])}")


def remove(context: typer.Context, name: Name) -> None:
    """Removes a schedule that was added by hand. Those of plugins follow their code."""
    call(context, "schedules_remove", schedule=name)
    say(f"{name} is removed")
