"""``mainspring check`` and ``mainspring config schema``: whether it would start, without starting it."""

# ruff: noqa: PLC0415 - what is slow to import is imported where it is used, so that `--help` is quick

from typing import TYPE_CHECKING, Any

import typer

from kernel.cli.command import AsJson, example, group
from kernel.cli.output import Column, print_json, print_table, say, tell
from kernel.model.counted import counted

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.config import Config
    from kernel.contracts.store import Store
    from kernel.model.schedule import ScheduleRow

_JOBS = [Column("JOB"), Column("QUEUE"), Column("DEFINED AT", is_whole=False)]
_SCHEDULES = [Column("SCHEDULE"), Column("JOB"), Column("WHEN", is_whole=False)]


def add_to(app: typer.Typer) -> None:
    app.command("check", epilog=example("check", "--config /etc/mainspring/plugins.toml check"))(check)
    config = group(app, "config", "The JSON Schema of plugins.toml.")
    config.command("schema", epilog=example("config schema > plugins.schema.json"))(schema)
    # A group of one command would else be that command.
    config.callback()(lambda: None)


def check(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Validates configuration and plugins, and runs nothing.

    Tells every problem at once, and lists the jobs and schedules when there is none.
    """
    import asyncio

    found = asyncio.run(_examine(context.obj))
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(2)


async def _examine(path: "Path") -> dict[str, Any]:
    from kernel.cli.plugin_code import examine_plugins
    from kernel.config import read_config
    from kernel.plugin import WRONG_SETTINGS
    from kernel.plugin_host import STORE_NOTE
    from kernel.unknown_jobs import unknown_jobs
    from kernel.unused_tables import unused_tables

    config = read_config(path)
    prepared = await examine_plugins(config)
    problems = [problem.text for problem in sorted(set(prepared.problems))]
    for state in prepared.states:
        # Of wrong settings the problems tell, each with its line.
        if state.state == "broken" and state.reason != WRONG_SETTINGS:
            place = f" ({state.place})" if state.place else ""
            problems.append(f"plugin {state.name} is broken: {state.reason}{place}")
    models = {name: plugin.model for name, plugin in prepared.plugins.items()}
    misnamed, off = unknown_jobs(config, models, prepared.states)
    known = {job.name for state in prepared.states for job in state.jobs}
    # Of what does not load it is not known what it uses.
    unused = [] if problems else unused_tables(config, [job for state in prepared.states for job in state.jobs])
    wrong, notes = ([], []) if config.problems else await _look_at_store(config, known)
    return {
        "problems": problems + misnamed + wrong,
        "notes": notes
        + unused
        + off
        + [f"plugin {state.name}: {state.note}" for state in prepared.states if state.note not in ("", STORE_NOTE)],
        "plugins": [state.as_json() for state in prepared.states],
        "jobs": [
            {"job": job.name, "queue": job.policies.queue, "place": job.place}
            for state in prepared.states
            for job in state.jobs
        ],
        "schedules": [
            {"schedule": schedule.name, "job": schedule.job, "when": schedule.describe()}
            for state in prepared.states
            for schedule in state.schedules
        ],
    }


async def _look_at_store(config: "Config", known: set[str]) -> tuple[list[str], list[str]]:
    """What is wrong with the store's URL, and what is worth knowing of the schedules in the store, if there is one."""
    from kernel.model.errors import ConfigError, MainspringError
    from kernel.plugin_host import open_store
    from kernel.plugin_store import store_file

    url = config.kernel.store
    file = store_file(url)
    try:
        store = await open_store(url)
    except ConfigError as error:
        return error.problems, []
    if url.startswith("memory:") or (file is not None and not file.exists()):
        return [], []
    try:
        rows = await _schedules_in(store)
    except MainspringError as error:
        return [], [f"the store could not be looked at: {error}"]
    lost = [row for row in rows if row.dynamic and row.schedule.job not in known]
    return [], [
        f"the schedule {row.name}, added by hand, runs nothing: no plugin provides its job {row.schedule.job}"
        for row in sorted(lost, key=lambda row: row.name)
    ]


async def _schedules_in(store: "Store") -> "list[ScheduleRow]":
    """Read without a change to the store, where it can be."""
    if (peek := getattr(store, "peek_schedules", None)) is not None:
        rows: list[ScheduleRow] = await peek()
        return rows
    await store.open(None)
    try:
        return await store.schedules()
    finally:
        await store.close()


def _print(found: dict[str, Any]) -> None:
    for problem in found["problems"]:
        tell(problem)
    for note in found["notes"]:
        tell(f"note: {note}")
    if found["problems"]:
        return
    on = [plugin for plugin in found["plugins"] if plugin["state"] == "enabled"]
    say(f"the configuration is good; {counted(len(on), 'plugin is', 'plugins are')} enabled")
    for plugin in on:
        say(f"  {plugin['plugin']}  {plugin['source']}")
    if found["jobs"]:
        say("")
        print_table(_JOBS, [[job["job"], job["queue"], job["place"]] for job in found["jobs"]], empty="")
    if found["schedules"]:
        say("")
        print_table(_SCHEDULES, [[one["schedule"], one["job"], one["when"]] for one in found["schedules"]], empty="")


def schema(context: typer.Context) -> None:
    """Prints the JSON Schema of plugins.toml, for editors.

    The settings of the enabled plugins are in it.
    """
    import asyncio

    from kernel.cli.plugin_code import examine_plugins
    from kernel.config import read_config
    from kernel.config_schema import config_schema

    prepared = asyncio.run(examine_plugins(read_config(context.obj)))
    print_json(config_schema({name: plugin.parts() for name, plugin in prepared.plugins.items()}))
