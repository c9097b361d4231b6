"""``mainspring jobs``: what can be enqueued."""

from typing import Any

import typer

from kernel.cli.command import AsJson, at_desk, example
from kernel.cli.output import Column, print_json, print_table

_COLUMNS = [
    Column("JOB"), Column("QUEUE"), Column("PRIORITY", is_number=True), Column("ATTEMPTS", is_number=True),
    Column("TIMEOUT", is_number=True), Column("PARAMETERS", is_whole=False), Column("ABOUT", is_whole=False),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("jobs", epilog=example("jobs", "jobs --json"))(list_jobs)


def list_jobs(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Lists the jobs that can be enqueued, with their policies."""
    found = at_desk(context, lambda desk: desk.jobs())
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(job) for job in found], empty="no jobs: no plugin that has any is enabled")


def _row(job: dict[str, Any]) -> list[Any]:
    from kernel.model.duration import words  # noqa: PLC0415 - at first use, as all of the model here

    timeout = job["timeout_seconds"]
    return [
        job["job"], job["queue"], job["priority"], job["retry"]["attempts"],
        "none" if timeout is None else words(timeout), _parameters(job["payload"]), job["about"],
    ]  # fmt: skip


def _parameters(schema: dict[str, Any]) -> str:
    """`car_id, force?`: those with a default bear a question mark."""
    needed = schema.get("required", [])
    return ", ".join(name if name in needed else f"{name}?" for name in schema.get("properties", {}))
